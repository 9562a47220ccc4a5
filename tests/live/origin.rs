//! Whose code each frame runs: the target says where its libraries lie, names of folders do not.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::support::{Program, Python, dump, root};
use super::{per_version, with_uvloop};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "origin", |_| true, origin);
    per_version(trials, "origin::compiled", |_| true, compiled);
    // nest_asyncio knows nothing of later ones.
    per_version(trials, "origin::installed", |minor| minor < 15, installed);
}

/// A package in a folder of which only the disk tells that packages are there is known as such when
/// the stacks are read for the first time: by its functions a loop is seen to run inside itself.
fn installed(python: &Python) {
    let folder = tempfile::tempdir_in(root().join("target")).unwrap();
    let venv = python.venv.as_deref().unwrap().parent().unwrap().parent().unwrap();
    let packages = venv.join(format!("lib/python{}/site-packages", python.version));
    fs::copy(packages.join("nest_asyncio.py"), folder.path().join("nest_asyncio.py")).unwrap();
    let record = folder.path().join("nest_asyncio-1.6.0.dist-info/RECORD");
    fs::create_dir(record.parent().unwrap()).unwrap();
    fs::write(record, "nest_asyncio.py,,\n").unwrap();

    let mut command = std::process::Command::new(&python.path);
    command.env("PYTHONPATH", folder.path());
    let program = root().join("tests/programs/scenarios/nested_self.py");
    command.arg("-B").arg(program).arg("--healthy");
    let program = Program::spawn(command);
    let dump = dump(program.pid(), &["--looks", "1"]);
    assert_eq!(dump["loops"][0]["state"], "polling", "{}", dump["loops"]);
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

/// A coroutine that Cython has compiled, which the interpreter has no frame for, is in the chain by
/// its name, and of the library whose file its module is.
fn compiled(python: &Python) {
    let text = "import asyncio, os, signal, socket, sys, uvloop\n\
                async def reads(sock):\n\
                \x20   await asyncio.get_running_loop().sock_recv(sock, 10)\n\
                async def main():\n\
                \x20   ends = socket.socketpair()\n\
                \x20   for end in ends: end.setblocking(False)\n\
                \x20   loop = asyncio.get_running_loop()\n\
                \x20   loop.add_reader(0, os._exit, 0)\n\
                \x20   loop.call_soon(lambda: loop.call_soon(lambda: print('{}\\nREADY', flush=True)))\n\
                \x20   await reads(ends[0])\n\
                loop = uvloop.new_event_loop()\n\
                loop.run_until_complete(main())\n";
    let mut command = std::process::Command::new(with_uvloop(python));
    command.args(["-B", "-c", text]);
    let program = Program::spawn(command);
    let dump = dump(program.pid(), &[]);
    let task = &dump["tasks"][0];
    let frames = task["frames"].as_array().unwrap().iter();
    let frames: Vec<_> = frames.map(|it| (&it["function"], &it["origin"], &it["line"])).collect();
    let compiled = (&json!("Loop.sock_recv"), &json!("package"), &Value::Null);
    assert_eq!(frames.last(), Some(&compiled), "{task}");
    assert_eq!(frames.len(), 3, "{task}");
    assert_eq!(task["waiting_on"]["kind"], "socket", "{task}");
}
