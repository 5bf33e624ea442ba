//! A shell that commands are typed into, one after the other, as people do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A shell with everything that was started in it, ended with this value.
#[derive(Debug)]
pub struct Session {
    shell: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

/// The line that marks the end of a command.
const DONE: &str = "--- the command is done ---";

/// How long a command may take: one of them compiles the filter.
const PATIENCE: Duration = Duration::from_mins(5);

impl Session {
    /// Starts a shell in a folder, with variables beside those of this process.
    ///
    /// # Errors
    /// There is no `sh`.
    pub fn start(folder: &Path, environment: &[(&str, String)]) -> Result<Self> {
        let mut shell = Command::new("sh")
            .current_dir(folder)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Programs that it leaves running have its group.
            .process_group(0)
            .spawn()
            .context("starting sh")?;
        let mut input = shell.stdin.take().context("no standard input")?;
        writeln!(input, "exec 2>&1")?;
        let output = BufReader::new(shell.stdout.take().context("no standard output")?);
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    break;
                }
            }
        });
        Ok(Self {
            shell,
            input,
            lines,
        })
    }

    /// What a command prints, standard error included.
    ///
    /// # Errors
    /// It takes longer than five minutes, or ends the shell.
    pub fn run(&mut self, command: &str) -> Result<String> {
        writeln!(
            self.input,
            "{{\n{command}\n}} </dev/null\nprintf '\\n%s\\n' '{DONE}'"
        )?;
        let deadline = Instant::now() + PATIENCE;
        let mut said = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line == DONE => return Ok(said),
                Ok(line) => said = said + &line + "\n",
                Err(error) => bail!("{command}: {error}, after it printed:\n{said}"),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The shell may have ended.
        let group = format!("kill -s KILL -- -{}", self.shell.id());
        let _ = Command::new("sh")
            .args(["-c", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.shell.wait();
    }
}
