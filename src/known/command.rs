//! What the command line of a Python process says of it.

/// What a process of `multiprocessing` is for, by the program that it was given.
pub fn helper(cmdline: &[String]) -> Option<&'static str> {
    let has = |text: &str| cmdline.iter().any(|word| word.contains(text));
    if has("multiprocessing.resource_tracker") {
        Some("resource tracker")
    } else if has("multiprocessing.forkserver") {
        Some("fork server")
    } else if has("multiprocessing.spawn") {
        Some("spawned child")
    } else {
        None
    }
}

/// A command line as people would type it: without the interpreter and its options, a script by its
/// name alone.
pub fn program(cmdline: &[String]) -> String {
    let Some((first, rest)) = cmdline.split_first() else { return String::new() };
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    if !name(first).starts_with("python") {
        let words: Vec<String> = std::iter::once(name(first)).chain(rest.iter().cloned()).collect();
        // A title that was set is filled up with blanks.
        return words.join(" ").trim_end().to_owned();
    }
    let mut rest = rest.iter();
    let mut words = Vec::new();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-m" => {}
            "-c" => {
                words.push(word.clone());
                break;
            }
            // These take the next word.
            "-X" | "-W" | "--check-hash-based-pycs" => _ = rest.next(),
            option if option.starts_with('-') && option.len() > 1 => {}
            script => {
                words.push(name(script));
                break;
            }
        }
    }
    words.extend(rest.cloned());
    if words.is_empty() { name(first) } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn interpreters_are_left_out() {
        for (line, expected) in [
            ("/venv/bin/python3.12 /venv/bin/gunicorn shop:app -w 4", "gunicorn shop:app -w 4"),
            ("python -B -X dev -m uvicorn shop:app", "uvicorn shop:app"),
            ("/usr/bin/python3 /srv/demo-service.py", "demo-service.py"),
            ("python3 -u -c import(os)", "-c import(os)"),
            ("/opt/bin/uwsgi --master", "uwsgi --master"),
            ("gunicorn: master [shop:app]   ", "gunicorn: master [shop:app]"),
            ("/usr/bin/python3.11", "python3.11"),
            ("python3 -i", "python3"),
        ] {
            assert_eq!(program(&words(line)), expected);
        }
        assert_eq!(program(&[]), "");
    }

    #[test]
    fn helpers_of_multiprocessing() {
        let of = |code: &str| helper(&["python3".to_owned(), "-c".to_owned(), code.to_owned()]);
        let tracker = "from multiprocessing.resource_tracker import main;main(6)";
        assert_eq!(of(tracker), Some("resource tracker"));
        let server = "from multiprocessing.forkserver import main; main(11, 12, ['__main__'])";
        assert_eq!(of(server), Some("fork server"));
        let child = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=6)";
        assert_eq!(of(child), Some("spawned child"));
        assert_eq!(of("import app"), None);
    }
}
