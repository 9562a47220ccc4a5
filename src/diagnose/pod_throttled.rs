//! `pod-throttled`: the quota of processor time of the process's cgroup is used up again and again.
//!
//! Each period in which that happens ends with all its threads stopped, wherever they are: what
//! then seems slow is not. The kernel counts the periods, and those that ended so.

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::rule::{About, Blames, Confirmed, Rule};
use super::{Context, words};
use crate::snapshot::{
    Cause, Cgroup, Code, Finding, Quota, Sentence, Severity, Snapshot, Sureness, Thread,
    ThreadState,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::PodThrottled,
    find: Some(find),
    about: About::Process,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[],
};

/// Who is stopped in a smaller part of the periods hardly feels it: the usual alarm's threshold.
const SHARE: f64 = 0.25;
/// So many periods speak for themselves; a burst that uses up fewer is healthy, unless it was
/// always like this.
const MANY: u64 = 10;
/// The share of few periods.
const SHARE_OF_FEW: f64 = 0.5;
/// The least part of the quota that a process uses to be one that is kept from running by it.
const LEAST_PART: f64 = 0.1;

/// What a process's groups and its loops had used at a moment.
#[derive(Debug, Clone)]
pub struct Usage {
    at: Duration,
    cgroup: Cgroup,
    /// The processor time of the threads that run loops.
    ran: Option<Duration>,
    is_ready: bool,
}

impl Usage {
    /// That of a snapshot; `None` if it tells of no quota.
    pub fn of(snapshot: &Snapshot) -> Option<Self> {
        let cgroup = snapshot.cgroup.as_ref()?;
        let threads = snapshot.loops.iter().filter_map(|it| snapshot.thread_of(it));
        let is_ready = |thread: &Thread| thread.state == Some(ThreadState::Running);
        let has_any = cgroup.quotas.iter().flatten().next().is_some();
        has_any.then(|| Self {
            at: snapshot.during.began,
            cgroup: cgroup.clone(),
            ran: threads.clone().filter_map(|it| it.cpu_time).reduce(Duration::saturating_add),
            is_ready: threads.clone().any(is_ready),
        })
    }

    /// When it was, by the target's `CLOCK_MONOTONIC`.
    pub fn at(&self) -> Duration {
        self.at
    }
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    let Some(now) = Usage::of(context.now) else { return };
    match context.looks.first.map(Usage::of) {
        Some(before) => out.extend(before.and_then(|before| between(&before, &now))),
        None if now.cgroup.quotas.iter().flatten().any(is_usual) => out.want_second_look(),
        None => {}
    }
}

/// The same since some time ago.
pub(super) fn over_time(before: &Usage, now: &Snapshot) -> Option<Finding> {
    Some(between(before, &Usage::of(now)?)?.finding)
}

/// The quota that stopped its group most often between two moments, if that was often.
fn between(before: &Usage, now: &Usage) -> Option<Draft> {
    let pairs = now.cgroup.quotas.iter().flatten().filter_map(|quota| {
        let mut known = before.cgroup.quotas.iter().flatten();
        Throttled::between(known.find(|known| known.group == quota.group)?, quota)
    });
    let often = pairs.filter(Throttled::is_often);
    let worst = often.max_by(|a, b| a.share().total_cmp(&b.share()))?;
    let ran = now.ran.zip(before.ran).and_then(|(now, before)| now.checked_sub(before));
    // The group is stopped; that matters to who has something to do.
    let takes_part = now.is_ready || ran.is_some_and(|ran| ran.as_secs_f64() >= worst.least_part());
    takes_part.then(|| report(&worst, now.at.saturating_sub(before.at), ran))
}

/// What became of a quota between two moments.
#[derive(Debug)]
struct Throttled<'q> {
    quota: &'q Quota,
    periods: u64,
    stopped: u64,
    stopped_for: Option<Duration>,
}

impl<'q> Throttled<'q> {
    fn between(before: &Quota, quota: &'q Quota) -> Option<Self> {
        let stopped_for = quota.throttled_for.zip(before.throttled_for);
        Some(Self {
            quota,
            periods: quota.periods?.checked_sub(before.periods?)?,
            stopped: quota.throttled?.checked_sub(before.throttled?)?,
            stopped_for: stopped_for.and_then(|(now, before)| now.checked_sub(before)),
        })
    }

    fn share(&self) -> f64 {
        share(self.stopped, self.periods)
    }

    /// Seconds of processor time: who has used fewer was not kept from anything.
    #[expect(clippy::cast_precision_loss, reason = "2^53 periods are a million years")]
    fn least_part(&self) -> f64 {
        self.quota.quota.as_secs_f64() * self.periods.max(1) as f64 * LEAST_PART
    }

    fn is_often(&self) -> bool {
        if self.periods >= MANY {
            self.share() >= SHARE
        } else {
            self.share() >= SHARE_OF_FEW && is_usual(self.quota)
        }
    }
}

/// Whether a group was stopped often ever since it was made.
fn is_usual(quota: &Quota) -> bool {
    let counts = quota.throttled.zip(quota.periods);
    counts.is_some_and(|(throttled, periods)| periods >= MANY && share(throttled, periods) >= SHARE)
}

/// A throttling counts from its beginning, a period from its end: there may be one more of those.
#[expect(clippy::cast_precision_loss, reason = "2^53 periods are a million years")]
fn share(throttled: u64, periods: u64) -> f64 {
    if periods == 0 { 0.0 } else { (throttled as f64 / periods as f64).min(1.0) }
}

fn report(worst: &Throttled<'_>, time: Duration, ran: Option<Duration>) -> Draft {
    let Throttled { quota, periods, stopped, stopped_for } = worst;
    let title = Sentence::words(format!("The CPU quota of {} stopped this process", cores(quota)));
    let title = title.then(format!("in {} of {periods} periods", stopped.min(periods)));
    let mut lines = vec![format!(
        "cgroup {}: {} of processor time in each {}",
        quota.group,
        words::span(quota.quota),
        words::span(quota.period),
    )];
    // The time of a stop is counted when it is over, for each processor.
    if let Some(stop) = stopped_for.filter(|it| !it.is_zero() && *it <= time) {
        lines.push(format!("stopped for {} of {}", words::span(stop), words::span(time)));
    }
    if let Some(ran) = ran {
        let (ran, time) = (words::span(ran), words::span(time));
        lines.push(format!("the event loop's thread ran for {ran} of {time}"));
    }
    if let (Some(all), Some(periods)) = (quota.throttled, quota.periods) {
        let share = share(all, periods) * 100.0;
        lines.push(format!("{all} of {periods} periods since the cgroup exists ({share:.0} %)"));
    }
    let cause = Cause::Quota {
        group: quota.group.to_string(),
        quota: quota.quota,
        period: quota.period,
        throttled: *stopped.min(periods),
        periods: *periods,
    };
    let draft = Draft::new(Code::PodThrottled, Severity::Warning, Sureness::Read, title);
    draft.cause(Some(cause)).evidence(lines).advice(
        "Raise or remove the CPU limit (Kubernetes `resources.limits.cpu`, Docker `--cpus`, \
         `CPUQuota=`), or do less work in this cgroup: a callback that seems slow may only have \
         been stopped in the middle.",
    )
}

/// `0.08 cores`.
fn cores(quota: &Quota) -> String {
    let cores = format!("{:.2}", quota.cores());
    format!("{} cores", cores.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, task};
    use crate::snapshot::BlockingKind;

    fn quota(periods: u64, throttled: u64) -> Quota {
        Quota {
            group: "/pod".into(),
            quota: Duration::from_millis(8),
            period: Duration::from_millis(100),
            periods: Some(periods),
            throttled: Some(throttled),
            throttled_for: Some(Duration::from_millis(90 * throttled)),
        }
    }

    /// A loop whose thread has used `ran` milliseconds so far.
    fn scene(quotas: impl IntoIterator<Item = Quota>, ran: u64) -> Scene {
        Scene::new().with([task(1).sleeps(10)]).and(|it| {
            let quotas = Some(quotas.into_iter().collect());
            it.cgroup = Some(Cgroup { quotas, ..Cgroup::default() });
            it.threads[0].cpu_time = Some(Duration::from_millis(ran));
        })
    }

    #[test]
    fn a_quota_that_is_always_used_up() {
        let first = scene([quota(80, 78)], 1000).before();
        assert!(first.once().findings.is_empty() && first.once().wants_second_look);
        let diagnosis = scene([quota(82, 80)], 1020).turned().after(&first);
        let finding = diagnosis.only();
        assert_eq!((finding.code, finding.severity), (Code::PodThrottled, Severity::Warning));
        assert_eq!(
            finding.title.to_string(),
            "The CPU quota of 0.08 cores stopped this process in 2 of 2 periods"
        );
        assert_eq!(
            finding.facts(),
            [
                "cgroup /pod: 8.00 ms of processor time in each 100 ms",
                "stopped for 180 ms of 200 ms",
                "the event loop's thread ran for 20.0 ms of 200 ms",
                "80 of 82 periods since the cgroup exists (98 %)",
            ]
        );
    }

    #[test]
    fn that_of_a_group_around_counts_as_well() {
        let outer = |periods, throttled| Quota { group: "/".into(), ..quota(periods, throttled) };
        let first = scene([quota(100, 0), outer(100, 90)], 0).before();
        let diagnosis = scene([quota(102, 0), outer(102, 92)], 20).turned().after(&first);
        assert!(diagnosis.only().facts()[0].starts_with("cgroup /:"));
    }

    #[test]
    fn a_burst_is_healthy_and_so_is_who_does_nothing() {
        let silent = |before: Quota, now: Quota, ran| {
            let first = scene([before], 0).before();
            scene([now], ran).turned().after(&first).assert_silent();
        };
        // Used up now for once, or at the start long ago.
        silent(quota(1000, 9), quota(1002, 11), 20);
        silent(quota(80, 78), quota(82, 78), 20);
        // Others of the group use it up, and this process needs none.
        silent(quota(80, 78), quota(82, 80), 0);
        // The counters of another group, or none.
        silent(quota(80, 78), quota(2, 2), 20);
        silent(quota(80, 78), Quota { periods: None, ..quota(82, 80) }, 20);
        scene([quota(1000, 9)], 0).once().assert_silent();
        Scene::new().twice().assert_silent();
    }

    #[test]
    fn over_some_time_few_periods_that_were_used_up_are_a_quarter() {
        let found = |throttled: u64| {
            let before = Usage::of(&scene([quota(1000, 9)], 0).snapshot).unwrap();
            over_time(&before, &scene([quota(1100, 9 + throttled)], 800).snapshot)
        };
        let title = "The CPU quota of 0.08 cores stopped this process in 30 of 100 periods";
        assert_eq!(found(30).unwrap().title.to_string(), title);
        assert_eq!(found(20), None);
    }

    #[test]
    fn a_thread_that_is_given_no_processor_follows_from_it() {
        let starved = |quota: Quota, ran| {
            let scene = scene([quota], ran).with([task(1).runs()]).in_callback(1, 4000);
            scene.blocked_by(BlockingKind::Starved, |blocking| blocking.frame = None)
        };
        let first = starved(quota(80, 78), 0).before();
        let diagnosis = starved(quota(82, 80), 20).after(&first);
        assert_eq!(diagnosis.codes(), [Code::PodThrottled, Code::LoopBlocked]);
        assert_eq!(diagnosis.cause_of(&diagnosis.findings[1]), Some(Code::PodThrottled));
        let free = starved(quota(82, 78), 20).after(&first);
        assert_eq!(free.only().because_of, None);
    }

    #[test]
    fn a_backlog_behind_it_follows_from_it() {
        let with = |quota: Quota, ran| scene([quota], ran).and(|it| it.loops[0].ready = Some(2000));
        let first = with(quota(80, 78), 0).before();
        let diagnosis = with(quota(82, 80), 20).turned().after(&first);
        assert_eq!(diagnosis.codes(), [Code::PodThrottled, Code::ReadyBacklog]);
        assert_eq!(diagnosis.cause_of(&diagnosis.findings[1]), Some(Code::PodThrottled));
    }
}
