//! Errors that a running program's system calls meet for a while: `strace` attached to it. Needs the right to trace another
//! process (root, or `kernel.yama.ptrace_scope` 0).

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::stand::serving::Serving;
use crate::stand::{SOON, until};

/// A fault that lasts until it is lifted.
#[derive(Debug)]
pub(super) struct Struck(Child);

impl Struck {
    /// `calls` fail with `error`, both as `strace` names them; only those on the file `on`, if it is given.
    pub(super) async fn with(
        serving: &Serving,
        home: &Path,
        (calls, error): (&str, &str),
        on: Option<&Path>,
    ) -> Self {
        let said = home.join("strace.stderr");
        let mut command = Command::new("strace");
        command
            .args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error={error}")])
            .args(["-p", &serving.pid().as_raw_nonzero().to_string()])
            .stdin(Stdio::null())
            .stderr(File::create(&said).unwrap());
        if let Some(file) = on {
            command.arg("-P").arg(file);
        }
        let mut child = command.spawn().unwrap();
        until("strace is attached", SOON, async || {
            let text = fs::read_to_string(&said).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "{text}");
            text.contains("attached").then_some(())
        })
        .await;
        Self(child)
    }

    /// The calls work again.
    pub(super) async fn lift(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::INT).unwrap();
        let child = &mut self.0;
        until("strace lets go", SOON, async || child.try_wait().unwrap()).await;
    }
}

impl Drop for Struck {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
