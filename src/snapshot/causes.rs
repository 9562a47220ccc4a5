//! Which findings merely follow from which.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::{Finding, FindingId};

/// How many findings follow from one another.
const MAX_CHAIN: usize = 100;

/// The places of causes, each with those of the findings that follow from it: the worst first, as bad
/// as the worst of what follows from it, else in their order.
pub fn by_root(findings: &[Finding]) -> Vec<(usize, Vec<usize>)> {
    let by_id: FxHashMap<FindingId, usize> =
        findings.iter().enumerate().map(|(at, finding)| (finding.id, at)).collect();
    let cause_of = |finding: &Finding| by_id.get(&finding.because_of?).copied();
    let above: Vec<Option<usize>> = findings.iter().map(cause_of).collect();
    // What follows from a follower follows from its cause; a cycle has no first.
    let root_of = |start: usize| {
        let mut at = start;
        for _ in 0..MAX_CHAIN {
            match above.get(at).copied().flatten() {
                Some(next) if next != start && next != at => at = next,
                Some(_) => return start,
                None => return at,
            }
        }
        start
    };
    let mut followers: Vec<Vec<usize>> = findings.iter().map(|_| Vec::new()).collect();
    let mut roots = Vec::new();
    for at in 0..findings.len() {
        match root_of(at) {
            root if root == at => roots.push(at),
            root => followers.get_mut(root).into_iter().for_each(|list| list.push(at)),
        }
    }
    let with_followers =
        |at: usize| (at, followers.get_mut(at).map(std::mem::take).unwrap_or_default());
    let mut chains: Vec<(usize, Vec<usize>)> = roots.into_iter().map(with_followers).collect();
    let severity = |at: usize| findings.get(at).map(|it| it.severity);
    chains.sort_by_key(|(root, followers)| {
        Reverse(followers.iter().copied().chain([*root]).map(severity).max())
    });
    chains
}

/// The places of findings in the order to be shown, and whether each follows from one before.
pub fn order(findings: &[Finding]) -> Vec<(usize, bool)> {
    let with_followers = |(at, followers): (usize, Vec<usize>)| {
        std::iter::once((at, false)).chain(followers.into_iter().map(|at| (at, true)))
    };
    by_root(findings).into_iter().flat_map(with_followers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Code, Severity, Sureness};

    #[test]
    fn a_cause_is_as_bad_as_what_follows_from_it() {
        use Severity::{Critical, Warning};
        let numbered = |(id, severity, cause): (u64, Severity, Option<u64>)| Finding {
            id: FindingId(id),
            because_of: cause.map(FindingId),
            ..Finding::new(Code::LockConvoy, severity, Sureness::Read, "")
        };
        let findings =
            [(1, Warning, None), (2, Warning, None), (3, Critical, Some(2)), (4, Warning, Some(3))]
                .map(numbered);
        assert_eq!(by_root(&findings), [(1, vec![2, 3]), (0, vec![])]);
        assert_eq!(order(&findings), [(1, false), (2, true), (3, true), (0, false)]);
        // A cycle of findings has no first, and each is one.
        let cycle = [(1, Warning, Some(2)), (2, Warning, Some(1)), (3, Warning, Some(3))];
        assert_eq!(by_root(&cycle.map(numbered)).len(), 3);
    }
}
