//! Whose code each frame runs: the target says where its libraries lie, names of folders do not.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;
use serde_json::Value;

use super::per_version;
use super::support::{Program, Python, dump, root};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "origin", |_| true, origin);
}

/// A chain of coroutines through code of all kinds, each in a place or under a name that looks
/// like another kind.
fn origin(python: &Python) {
    let folder = tempfile::tempdir_in(root().join("target")).unwrap();
    // A program in a folder whose name ends in `asyncio`, below one that looks like Python's.
    let own = folder.path().join("lib/pythonic/orders-asyncio");
    let write = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let calls =
        |next: &str| format!("async def call():\n    from {next} import call\n    await call()\n");
    write(
        &own.join("main.py"),
        "import asyncio, sys, zipfile\n\
         with zipfile.ZipFile(sys.argv[1] + '/app.pyz', 'w') as packed:\n\
         \x20   packed.write(sys.argv[1] + '/packed.py', 'packed.py')\n\
         sys.path += [sys.argv[1] + '/deps', sys.argv[1] + '/app.pyz']\n\
         async def main():\n\
         \x20   from locks import call\n\
         \x20   asyncio.get_running_loop().add_reader(0, sys.exit)\n\
         \x20   await call()\n\
         asyncio.run(main())\n",
    );
    write(&own.join("locks.py"), &calls("fakelib"));
    // Installed by `pip install --target`, beside a module of the program.
    let deps = folder.path().join("deps");
    write(&deps.join("fakelib/__init__.py"), &calls("beside"));
    write(&deps.join("fakelib-1.0.dist-info/RECORD"), "fakelib/__init__.py,,\n");
    write(&deps.join("beside.py"), &calls("packed"));
    let last = "async def call():\n    import asyncio\n    loop = asyncio.get_running_loop()\n    \
                loop.call_soon(lambda: print('{}\\nREADY', flush=True))\n    \
                await asyncio.sleep(3600)\n";
    write(&folder.path().join("packed.py"), last);

    let mut command = std::process::Command::new(&python.path);
    command.arg(own.join("main.py")).arg(folder.path());
    let program = Program::spawn(command);
    let dump = dump(program.pid(), &["--threads"]);
    let frames = |of: &Value| -> Vec<(String, String)> {
        let frames = of["frames"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        frames.map(|frame| (text(&frame["file"]), text(&frame["origin"]))).collect()
    };
    let at = |path: &Path, origin: &str| (path.to_str().unwrap().to_owned(), origin.to_owned());
    let chain = frames(&dump["tasks"][0]);
    let (sleep, rest) = chain.split_last().unwrap();
    assert_eq!(
        rest,
        [
            at(&own.join("main.py"), "own"),
            at(&own.join("locks.py"), "own"),
            at(&deps.join("fakelib/__init__.py"), "package"),
            at(&deps.join("beside.py"), "own"),
            at(&folder.path().join("app.pyz/packed.py"), "own"),
        ]
    );
    assert_eq!(sleep.1, "stdlib", "{sleep:?}");
    // On its stack are the program's module and what runs the loop.
    for (file, origin) in frames(&dump["threads"][0]) {
        let wanted = if file.starts_with(own.to_str().unwrap()) { "own" } else { "stdlib" };
        assert_eq!(origin, wanted, "{file}");
    }
}
