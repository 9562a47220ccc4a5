//! The container of a process: from the paths of its control groups, from what is mounted for it,
//! from its host name.
//!
//! Runtimes name the group of a container by its id, and kubelet the group around it by the pod's
//! uid. In a namespace of its own a container's group is `/`: then the files tell that are mounted
//! into each container from a folder of the runtime's or kubelet's on the host. All of it is text of
//! others, so each part is taken only where it has the form that it always has.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::Target;
use super::cgroup::MAX_CGROUP;
use super::source::{Reader, look_up_below, opened};
use crate::snapshot::Container;

/// The files that are mounted into a container come first of its mounts, or soon.
const MAX_MOUNTS: u64 = 256 * 1024;
/// The longest name of a host.
const MAX_HOSTNAME: u64 = 256;
/// The mounts of a container whose source tells whose it is.
const TELLING: [&str; 4] =
    ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/dev/termination-log"];

impl Target {
    /// The container that it lives in; `None` where nothing says that it lives in one.
    pub(super) fn container(&self) -> Option<Container> {
        let text = |name, cap| {
            let bytes = self.dir.read(name, cap).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let by_group = of_groups(&text("cgroup", MAX_CGROUP)).unwrap_or_default();
        let by_mounts = of_mounts(&text("mountinfo", MAX_MOUNTS)).unwrap_or_default();
        let found = Container {
            id: by_group.id.or(by_mounts.id),
            runtime: by_group.runtime.or(by_mounts.runtime),
            name: by_mounts.name,
            pod_uid: by_group.pod_uid.or(by_mounts.pod_uid),
            hostname: None,
        };
        let is_contained = found != Container::default();
        let hostname = self.hostname(is_contained);
        (is_contained || hostname.is_some()).then_some(Container { hostname, ..found })
    }

    /// Its host name; where it is not known to be in a container, only if it isn't ours.
    fn hostname(&self, is_contained: bool) -> Option<String> {
        let ours = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let ours = ours.trim();
        let is_shared =
            self.dir.link("ns/uts").ok()? == Path::new("/proc/self/ns/uts").read_link().ok()?;
        if is_shared {
            return (is_contained && !ours.is_empty()).then(|| ours.to_owned());
        }
        let read = |root: &File, path: &Path, _: &Reader| {
            let found = look_up_below(root, path)?;
            let mut text = String::new();
            if found.metadata()?.is_file() {
                opened(&found)?.take(MAX_HOSTNAME).read_to_string(&mut text)?;
            }
            Ok(text)
        };
        let name = self.look_as_user("/etc/hostname", Reader::of(self)?, read)?;
        let name = name.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let is_it = !name.is_empty() && name.chars().all(is_name) && (is_contained || name != ours);
        is_it.then(|| name.to_owned())
    }
}

/// The container by the lines `ID:CONTROLLERS:PATH` of a file `cgroup`.
fn of_groups(text: &str) -> Option<Container> {
    let paths = || text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let found = || paths().filter_map(of_path);
    // Some controllers may end at the pod.
    found().find(|it| it.id.is_some()).or_else(|| found().next())
}

/// The container that the path of a group names: the innermost one.
fn of_path(path: &str) -> Option<Container> {
    // `…-pod1234.slice:cri-containerd:5678`, where two systems were mixed up.
    let parts: Vec<&str> = path.split(['/', ':']).filter(|part| !part.is_empty()).collect();
    let mut found = Container::default();
    for (at, part) in parts.iter().enumerate().rev() {
        let above = at.checked_sub(1).and_then(|at| parts.get(at)).copied().unwrap_or_default();
        if found.pod_uid.is_none() {
            found.pod_uid = pod_of(part);
        }
        if found.id.is_none()
            && found.pod_uid.is_none()
            && let Some((id, runtime)) = id_of(part, above)
        {
            (found.id, found.runtime) = (Some(id.to_owned()), runtime.map(str::to_owned));
        }
    }
    (found != Container::default()).then_some(found)
}

/// The id that a part of a path is, with what runs it.
fn id_of<'p>(part: &'p str, above: &str) -> Option<(&'p str, Option<&'static str>)> {
    /// How runtimes begin the names of their groups.
    const RUNTIMES: [(&str, &str); 5] = [
        ("docker", "docker"),
        ("cri-containerd", "containerd"),
        ("nerdctl", "containerd"),
        ("crio", "cri-o"),
        ("libpod", "podman"),
    ];
    let runtime = |of: &str| RUNTIMES.iter().find(|(start, _)| *start == of).map(|(_, name)| *name);
    // A path of LXC has the container's name.
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some((name, Some("lxc")));
    }
    if matches!(above, "lxc" | "lxc.payload") && part != "init.scope" {
        return Some((part, Some("lxc")));
    }
    let part = part.strip_suffix(".scope").unwrap_or(part);
    match part.rsplit_once('-') {
        // `crio-conmon-…` is who watches over the container.
        Some((before, id)) if is_id(id) => Some((id, Some(runtime(before)?))),
        None if is_id(part) => Some((part, runtime(above))),
        _ => None,
    }
}

/// The uid in `kubepods-burstable-pod1a2b_….slice`, `pod1a2b-…`.
fn pod_of(part: &str) -> Option<String> {
    let part = part.strip_suffix(".slice").unwrap_or(part);
    let (before, uid) = part.split_at(part.rfind("pod")?);
    let uid = uid.strip_prefix("pod")?.replace('_', "-");
    let is_kubelet = before.is_empty() || before.starts_with("kubepods") && before.ends_with('-');
    (is_kubelet && is_uid(&uid)).then_some(uid)
}

/// 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A UUID; pods that are files on their node have 32 digits.
fn is_uid(text: &str) -> bool {
    let has_form = match text.len() {
        36 => [8, 13, 18, 23].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-')),
        32 => !text.contains('-'),
        _ => false,
    };
    has_form && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// The container by what its `mountinfo` says to be mounted into it, and from where.
fn of_mounts(text: &str) -> Option<Container> {
    let mut found = Container::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(root), Some(point)) = (words.nth(3), words.next()) else { continue };
        if !TELLING.contains(&point) {
            continue;
        }
        let parts: Vec<&str> = root.split('/').filter(|part| !part.is_empty()).collect();
        let after = |name: &str| {
            let at = parts.iter().position(|part| *part == name)?;
            parts.get(at + 1).copied()
        };
        // `/var/lib/docker/containers/ID/hostname`, podman's `…/overlay-containers/ID/userdata/…`
        for (folder, runtime) in [("containers", "docker"), ("overlay-containers", "podman")] {
            let id = after(folder).filter(|id| is_id(id) && after("pods").is_none());
            if let (Some(id), None) = (id, &found.id) {
                (found.id, found.runtime) = (Some(id.to_owned()), Some(runtime.to_owned()));
            }
        }
        // `/var/lib/kubelet/pods/UID/etc-hosts`, `…/pods/UID/containers/NAME/…`
        if let Some(uid) = after("pods").filter(|uid| is_uid(uid)) {
            found.pod_uid = Some(uid.to_owned());
            found.name = found.name.or_else(|| after("containers").map(str::to_owned));
        }
    }
    (found != Container::default()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f5c0d1e2a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5";
    const UID: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";

    fn told(text: &str) -> Option<(Option<String>, Option<String>, Option<String>)> {
        of_groups(text).map(|it| (it.id, it.runtime, it.pod_uid))
    }

    #[test]
    fn paths_of_groups_name_container_and_pod() {
        let some = |text: &str| Some(text.to_owned());
        let slice = format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice",
            UID.replace('-', "_")
        );
        for (path, runtime, pod) in [
            // Docker: cgroupfs, systemd, in a slice of its own, in Docker.
            (format!("/docker/{ID}"), some("docker"), None),
            (format!("/system.slice/docker-{ID}.scope"), some("docker"), None),
            (format!("/my.slice/my-app.slice/docker-{ID}.scope"), some("docker"), None),
            (format!("/docker/{}/docker/{ID}", "0".repeat(64)), some("docker"), None),
            (format!("/docker/{ID}/init"), some("docker"), None),
            (format!("/ecs/8f4c/{ID}"), None, None),
            // Kubernetes: cgroupfs and systemd with each runtime.
            (format!("/kubepods/besteffort/pod{UID}/{ID}"), None, some(UID)),
            (format!("/kubepods/pod{UID}/{ID}"), None, some(UID)),
            (format!("{slice}/cri-containerd-{ID}.scope"), some("containerd"), some(UID)),
            (format!("{slice}/crio-{ID}.scope"), some("cri-o"), some(UID)),
            (format!("{slice}/docker-{ID}.scope"), some("docker"), some(UID)),
            (format!("{slice}/crio-{ID}.scope/container"), some("cri-o"), some(UID)),
            (
                format!(
                    "/system.slice/kubepods-pod{}.slice:cri-containerd:{ID}",
                    UID.replace('-', "_")
                ),
                some("containerd"),
                some(UID),
            ),
            (
                format!("/kubelet.slice{slice}/cri-containerd-{ID}.scope"),
                some("containerd"),
                some(UID),
            ),
            // Podman.
            (format!("/machine.slice/libpod-{ID}.scope"), some("podman"), None),
            (
                format!(
                    "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"
                ),
                some("podman"),
                None,
            ),
        ] {
            let expected = Some((some(ID), runtime, pod));
            assert_eq!(told(&format!("0::{path}\n")), expected, "{path}");
            let v1 =
                format!("9:name=systemd:{path}\n4:memory:{path}\n1:cpu,cpuacct:{path}\n0::/\n");
            assert_eq!(told(&v1), expected, "{path}");
        }
        for path in ["/lxc.payload.web", "/lxc/web", "/lxc/web/init.scope", "/lxc.payload/web"] {
            let expected = Some((some("web"), some("lxc"), None));
            assert_eq!(told(&format!("0::{path}\n")), expected, "{path}");
        }
    }

    #[test]
    fn a_pod_shows_where_its_container_does_not() {
        let some = |text: &str| Some(text.to_owned());
        let text = format!("4:memory:/kubepods/pod{UID}\n0::/\n");
        assert_eq!(told(&text), Some((None, None, some(UID))));
        // One controller has the container.
        let text = format!("4:memory:/kubepods/pod{UID}\n1:cpu:/kubepods/pod{UID}/{ID}\n");
        assert_eq!(told(&text), Some((some(ID), None, some(UID))));
        // A pod that is a file on its node.
        let hash = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
        let text = format!("0::/kubepods/burstable/pod{hash}/{ID}\n");
        assert_eq!(told(&text), Some((some(ID), None, some(hash))));
    }

    #[test]
    fn other_groups_name_none() {
        for path in [
            "/",
            "/init.scope",
            "/system.slice/orders.service",
            "/system.slice/system-getty.slice/getty@tty1.service",
            "/user.slice/user-1000.slice/session-2.scope",
            "/podinfo/app",
            "/kubepods.slice/kubepods-burstable.slice",
            "/../other",
        ] {
            assert_eq!(told(&format!("0::{path}\n")), None, "{path}");
        }
        for text in ["", "0", "0::", ":::", "garbage"] {
            assert_eq!(told(text), None, "{text}");
        }
        // Who watches over a container is not in it.
        assert_eq!(told(&format!("0::/machine.slice/crio-conmon-{ID}.scope\n")), None);
        assert_eq!(told(&format!("0::/machine.slice/libpod-conmon-{ID}.scope\n")), None);
    }

    #[test]
    fn mounts_name_container_and_pod_where_its_group_has_a_namespace() {
        let line = |root: &str, point: &str| {
            format!("521 505 8:1 {root} {point} rw - ext4 /dev/sda1 rw\n")
        };
        let told = |text: &str| of_mounts(text).map(|it| (it.id, it.runtime, it.name, it.pod_uid));
        let some = |text: &str| Some(text.to_owned());
        let docker = line(&format!("/var/lib/docker/containers/{ID}/hostname"), "/etc/hostname");
        assert_eq!(told(&docker), Some((some(ID), some("docker"), None, None)));
        let root = format!("/containers/storage/overlay-containers/{ID}/userdata/hosts");
        assert_eq!(told(&line(&root, "/etc/hosts")), Some((some(ID), some("podman"), None, None)));
        let pods = format!("/var/lib/kubelet/pods/{UID}");
        let pod = line(&format!("{pods}/etc-hosts"), "/etc/hosts")
            + &line(&format!("{pods}/containers/app/6ab1"), "/dev/termination-log");
        assert_eq!(told(&pod), Some((None, None, some("app"), some(UID))));
        // The host has the files of all containers, elsewhere.
        let host = line(&format!("/var/lib/docker/containers/{ID}/hostname"), "/mnt/hostname");
        assert_eq!(told(&host), None);
        assert_eq!(told("garbage\n1 2 3\n"), None);
    }
}
