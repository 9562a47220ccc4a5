//! The container that a process lives in, as far as that shows from outside.

use serde::{Deserialize, Serialize};

/// Digits of an id that people know a container by.
const SHORT: usize = 12;

/// A container, and the pod it is of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its id, or what its runtime calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What runs it: `docker`, `containerd`, `cri-o`, `podman`, `lxc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// What its pod calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The uid of its pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// The host name in it: that of the pod, as a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

impl Container {
    /// Its name as people know it: `orders-7d9f/app`, `orders-7d9f`, `3f5c0d1e2a4b`.
    pub fn short(&self) -> Option<String> {
        let id = || self.id.as_ref().map(|id| id.chars().take(SHORT).collect());
        match (&self.hostname, &self.name) {
            (Some(host), Some(name)) => Some(format!("{host}/{name}")),
            (None, Some(name)) => Some(name.clone()),
            // Without a pod it is the id again, unless somebody chose one.
            (Some(host), None) => Some(host.clone()),
            (None, None) => id().or_else(|| self.pod_uid.as_ref().map(|uid| format!("pod {uid}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_called_as_people_know_it() {
        let some = |text: &str| Some(text.to_owned());
        let of = |hostname, name| Container {
            id: some("3f5c0d1e2a4b5c6d7e8f"),
            pod_uid: some("u"),
            hostname,
            name,
            ..Container::default()
        };
        assert_eq!(of(some("orders-7d9f"), some("app")).short(), some("orders-7d9f/app"));
        assert_eq!(of(some("orders-7d9f"), None).short(), some("orders-7d9f"));
        assert_eq!(of(None, some("app")).short(), some("app"));
        assert_eq!(of(None, None).short(), some("3f5c0d1e2a4b"));
        let pod = Container { pod_uid: some("u"), ..Container::default() };
        assert_eq!(pod.short(), some("pod u"));
        assert_eq!(Container::default().short(), None);
    }
}
