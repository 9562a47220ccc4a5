//! A terminal for programs that draw: a pseudo-terminal, and what is on its screen.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

/// How long it may take until something is on the screen: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The tool in a terminal of its own.
pub struct Terminal {
    child: Child,
    master: File,
    /// Open for the life of the terminal, so that it stays when the tool ends.
    slave: OwnedFd,
    before: Termios,
    screen: Arc<Mutex<vt100::Parser>>,
    news: Receiver<()>,
}

impl Terminal {
    /// Starts the tool on a screen of this size, in a folder.
    pub fn start(arguments: &[&str], size: (u16, u16), folder: &Path) -> Self {
        Self::start_with(arguments, size, folder, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(
        arguments: &[&str],
        (rows, columns): (u16, u16),
        folder: &Path,
        variables: &[(&str, &str)],
    ) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        // Its controlling terminal, so that it is told of a new size.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(env!("CARGO_BIN_EXE_aiospy")).args(arguments);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR").env_remove("COLORTERM");
        command.envs(variables.iter().copied());
        command.current_dir(folder).stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap();
        let master = File::from(master);
        let screen = Arc::new(Mutex::new(parser(rows, columns)));
        let (tell, news) = channel();
        let (mut reader, shared) = (master.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 1 << 12];
            while let Ok(count) = reader.read(&mut bytes) {
                if count == 0 {
                    break;
                }
                shared.lock().unwrap().process(&bytes[..count]);
                if tell.send(()).is_err() {
                    break;
                }
            }
        });
        Self { child, master, slave, before, screen, news }
    }

    /// The tool's process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Types keys: letters, and what special keys send.
    pub fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.screen
            .lock()
            .unwrap()
            .screen_mut()
            .set_size(rows.try_into().unwrap(), columns.try_into().unwrap());
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.slave, size).unwrap();
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until the screen shows all of these.
    pub fn wait_for(&mut self, wanted: &[&str]) -> String {
        self.wait_until(&format!("{wanted:?}"), |text| wanted.iter().all(|it| text.contains(it)))
    }

    /// Waits until the screen is as wanted.
    pub fn wait_until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if is_so(&text) {
                return text;
            }
            let left = until.saturating_duration_since(Instant::now());
            let is_news = !left.is_zero() && self.news.recv_timeout(left).is_ok();
            assert!(is_news, "the screen does not come to show {what}:\n{}", self.text());
        }
    }

    /// Sends the tool a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for the end of the tool, after which the terminal must be as it was before.
    pub fn end(mut self) -> (ExitStatus, String) {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        };
        let after = tcgetattr(&self.slave).unwrap();
        assert_eq!(
            (after.local_modes, after.input_modes, after.output_modes, after.control_modes),
            (
                self.before.local_modes,
                self.before.input_modes,
                self.before.output_modes,
                self.before.control_modes
            ),
            "the modes of the terminal"
        );
        // All that it wrote is read when the last end of the other side is closed.
        let Self { slave, screen, news, .. } = &mut self;
        drop(std::mem::replace(slave, OwnedFd::from(File::open("/dev/null").unwrap())));
        while news.recv_timeout(PATIENCE).is_ok() {}
        let parser = screen.lock().unwrap();
        let screen = parser.screen();
        assert!(!screen.alternate_screen(), "the other screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "the mouse");
        let text = screen.contents();
        drop(parser);
        (status, text)
    }
}

fn parser(rows: u16, columns: u16) -> vt100::Parser {
    vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
