//! What is installed in a folder of the target, as packages say that were put there.
//!
//! Folders called `site-packages` have nothing else in them. With `pip install --target` packages
//! lie beside the program, as they do in many images and in functions of clouds. Each has a folder
//! `NAME.dist-info` there, in which `RECORD` lists its files; one that an old pip has built from its
//! source has a `NAME.egg-info` with `installed-files.txt`, by which it differs from a program that is
//! developed there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use super::Target;
use super::source::{Reader, look_up_below, opened};

/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 20_000;
/// Packages in one folder.
const MAX_PACKAGES: usize = 500;
/// Bytes of the list of files of one package; the longest seen has some 800 KiB.
const MAX_RECORD: u64 = 2 << 20;

impl Target {
    /// The names of the files and folders in `folder` that packages have installed: `aiohttp`,
    /// `six.py`.
    pub fn installed(&self, folder: &str) -> Vec<Arc<str>> {
        let reader = Reader::of(self);
        let found =
            reader.and_then(|it| self.look_as_user(folder, it, |root, at, _| installed(root, at)));
        found.unwrap_or_default()
    }
}

fn installed(root: &File, folder: &Path) -> io::Result<Vec<Arc<str>>> {
    let looked_up = look_up_below(root, folder)?;
    let mut names = BTreeSet::new();
    let entries = std::fs::read_dir(format!("/proc/self/fd/{}", looked_up.as_raw_fd()))?;
    let entries =
        entries.take(MAX_ENTRIES).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let lists = entries.filter_map(|name| {
        let list = match name.rsplit('.').next()? {
            "dist-info" => "RECORD",
            "egg-info" => "installed-files.txt",
            _ => return None,
        };
        Some(folder.join(name).join(list))
    });
    for list in lists.take(MAX_PACKAGES) {
        let record = look_up_below(root, &list);
        // One that is not whole says nothing.
        names.extend(record.and_then(|it| top_levels(&it)).unwrap_or_default());
    }
    Ok(names.into_iter().collect())
}

/// The first part of each file's path in the list of a package's files.
fn top_levels(record: &File) -> io::Result<Vec<Arc<str>>> {
    if !record.metadata()?.is_file() {
        return Ok(Vec::new());
    }
    let mut text = Vec::new();
    opened(record)?.take(MAX_RECORD).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let names: BTreeSet<&str> = text.lines().filter_map(top_level).collect();
    Ok(names.into_iter().map(Arc::from).collect())
}

/// `aiohttp/web.py,sha256=…,1234` → `aiohttp`, if there may be code in it. In the list of an
/// `egg-info` it is `../aiohttp/web.py`.
fn top_level(line: &str) -> Option<&str> {
    let path = line.strip_prefix('"').unwrap_or(line).split(',').next()?;
    let path = path.strip_prefix("../").unwrap_or(path);
    let (name, is_folder) = path.split_once('/').map_or((path, false), |(name, _)| (name, true));
    let is_code = if is_folder { !name.contains('.') } else { name.strip_suffix(".py").is_some() };
    (is_code && !matches!(name, "" | "bin" | "__pycache__")).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn packages_say_what_is_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("app.py", "");
        write("orders/db.py", "");
        let record = "../../bin/normalizer,,\naiohttp/web.py,sha256=x,12\naiohttp/_http.so,,\n\
            aiohttp-3.9.dist-info/RECORD,,\n__pycache__/six.cpython-312.pyc,,\n";
        write("aiohttp-3.9.dist-info/RECORD", record);
        write("six-1.0.dist-info/RECORD", "six.py,sha256=y,3\nbin/six,,\n");
        write("broken-1.0.dist-info/METADATA", "");
        let files = "../nats/aio/client.py\n../../../bin/nats\n../single.py\nPKG-INFO\n";
        write("nats-0.11.egg-info/installed-files.txt", files);
        // A program that is developed here.
        write("orders.egg-info/SOURCES.txt", "orders/db.py\n");
        write("orders.egg-info/top_level.txt", "orders\n");
        let root = File::open("/").unwrap();
        let names = installed(&root, folder.path()).unwrap();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["aiohttp", "nats", "single.py", "six.py"]);
        assert!(installed(&root, &folder.path().join("app.py")).is_err());
    }
}
