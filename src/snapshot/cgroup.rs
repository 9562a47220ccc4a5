//! What the control groups of a process allow it, as far as they can be seen.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::millis;

/// The limits of a process's control groups at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The quotas of processor time, of its own group first, then of the groups around that one;
    /// empty when none has a quota, absent when that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quotas: Option<Vec<Quota>>,
    /// Whether a freezer keeps all its threads from running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<bool>,
    /// The memory limit that leaves the least, its own or that of a group around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryLimit>,
    /// What its own group had to wait for; absent in version 1, and where the kernel does not
    /// account for it.
    #[serde(default, skip_serializing_if = "Pressure::is_unknown")]
    pub pressure: Pressure,
}

/// What there was too little of for a group ("pressure stall information").
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// Processor time; being stopped by a quota counts as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Stalls>,
    /// Memory: something was being read again that had been dropped for want of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Stalls>,
    /// Files and disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<Stalls>,
}

/// How much of the last ten seconds threads of a group had to wait for something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stalls {
    /// While at least one of them did.
    pub some_percent: f64,
    /// While all did that had work; absent where the kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_percent: Option<f64>,
}

/// How much processor time a group may use in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// The path of the group, as we see it.
    pub group: Arc<str>,
    /// The time that it may use in each period.
    #[serde(rename = "quota_ms", with = "millis")]
    pub quota: Duration,
    /// The length of a period.
    #[serde(rename = "period_ms", with = "millis")]
    pub period: Duration,
    /// How many periods there were in which the group had work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periods: Option<u64>,
    /// In how many of them it had used up its time and was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u64>,
    /// For how long it was stopped, as far as that is over.
    #[serde(
        rename = "throttled_for_ms",
        default,
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub throttled_for: Option<Duration>,
}

/// How much memory a group may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLimit {
    /// Its limit in bytes.
    #[serde(rename = "limit_bytes")]
    pub limit: u64,
    /// What of it is in use, but for the file cache that the kernel drops first.
    #[serde(rename = "used_bytes")]
    pub used: u64,
    /// How many processes the kernel has killed in the group because it was at its limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
}

impl Cgroup {
    /// The smallest quota.
    pub fn smallest_quota(&self) -> Option<&Quota> {
        self.quotas.iter().flatten().min_by(|a, b| a.cores().total_cmp(&b.cores()))
    }
}

impl Pressure {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

impl Quota {
    /// In which part of its periods it had used up its time; `None` where they are not counted.
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    pub fn throttled_share(&self) -> Option<f64> {
        let periods = self.periods.filter(|periods| *periods > 0)?;
        Some(self.throttled? as f64 / periods as f64)
    }

    /// How many processors' time it is.
    pub fn cores(&self) -> f64 {
        self.quota.as_secs_f64() / self.period.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl MemoryLimit {
    /// How many bytes are left.
    pub fn left(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}
