//! The packager as a function, and programs that run in the background.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use packager::console::{Console, ExitStatus, Options, Terminal};

use crate::tools::checkout;

/// How a run of the packager ended.
#[derive(Debug)]
pub struct Run {
    pub status: u8,
    pub out: String,
    pub talk: String,
}

/// Runs the packager in this process.
#[must_use]
pub fn packager(arguments: &[&str]) -> Run {
    packager_with_input(arguments, "")
}

/// Runs the packager in this process with something on standard input.
#[must_use]
pub fn packager_with_input(arguments: &[&str], input: &str) -> Run {
    let (mut input, mut out, mut talk) = (input.as_bytes(), Vec::new(), Vec::new());
    let mut console = Console {
        input: &mut input,
        out: &mut out,
        stderr: &mut talk,
        terminal: Terminal::default(),
        options: Options::default(),
    };
    let arguments: Vec<OsString> = std::iter::once("packager")
        .chain(arguments.iter().copied())
        .map(OsString::from)
        .collect();
    let status = match packager::run(arguments, &mut console) {
        ExitStatus::Success => 0,
        ExitStatus::Failure => 1,
        ExitStatus::Error => 2,
    };
    Run {
        status,
        out: text(&out),
        talk: text(&talk),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the packager as a program, with nothing of this process's environment but `PATH`, and with
/// something on standard input.
///
/// # Errors
/// It cannot be built or run.
pub fn packager_program(
    arguments: &[&str],
    environment: &[(&str, &str)],
    input: &str,
) -> Result<Run> {
    run_program(
        Command::new(built_packager()?).args(arguments),
        environment,
        input,
    )
}

/// The same with a limit of memory, in MiB of address space: the program ends when it allocates more.
///
/// # Errors
/// As [`packager_program`], or the program reached the limit.
pub fn packager_program_within(mebibytes: u64, arguments: &[&str], input: &str) -> Result<Run> {
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--as={}", mebibytes << 20))
        .arg(built_packager()?)
        .args(arguments);
    run_program(&mut command, &[], input)
}

/// Runs the packager as a program with a pseudo-terminal as stdin, stdout and stderr.
///
/// # Errors
/// As [`packager_program`].
pub fn packager_program_on_terminal(arguments: &[&str]) -> Result<Run> {
    let program = built_packager()?
        .to_str()
        .context("the path of the checkout is not UTF-8")?;
    let command = format!("'{program}' {}", arguments.join(" "));
    run_program(
        Command::new("script").args(["-qec", &command, "/dev/null"]),
        &[],
        "",
    )
}

/// Builds the packager as it is, once, beside this program.
///
/// # Errors
/// It cannot be built.
pub fn built_packager() -> Result<&'static Path> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = BUILT.get() {
        return Ok(path);
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--locked", "--quiet", "--package", "packager"])
        .current_dir(checkout());
    // Cargo sets these variables for this test. With them, ring and its dependents would be rebuilt.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(name);
        }
    }
    ensure!(
        build.status().context("running cargo")?.success(),
        "cargo could not build the packager"
    );
    let this = std::env::current_exe()?;
    let folder = this.ancestors().nth(2).context("the folder of programs")?;
    Ok(BUILT.get_or_init(|| folder.join("packager")))
}

fn run_program(command: &mut Command, environment: &[(&str, &str)], input: &str) -> Result<Run> {
    let mut child = command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // A program that does not read its input closes the pipe, which is no failure here.
    let _ = child
        .stdin
        .take()
        .context("no standard input")?
        .write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    let status = output
        .status
        .code()
        .context("a signal ended the packager")?;
    Ok(Run {
        status: u8::try_from(status)?,
        out: text(&output.stdout),
        talk: text(&output.stderr),
    })
}

/// A program in the background, ended with this value.
#[derive(Debug)]
pub struct Background(Child);

impl Background {
    /// Starts a program whose output goes to a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(program: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        Self::spawn(Command::new(program).args(arguments), log)
    }

    /// The same for a program with an environment or a folder of its own.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| {
                let program = Path::new(command.get_program()).display();
                format!("starting {program}: `make setup` installs it")
            })?;
        Ok(Self(child))
    }

    /// Waits until `ready` returns true.
    ///
    /// # Errors
    /// The program ended, or ten minutes passed; the error ends with the program's log.
    pub fn wait_until(&mut self, log: &Path, ready: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_mins(10);
        loop {
            if ready() {
                return Ok(());
            }
            let ended = self.0.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!("not ready ({ended:?}):\n{}", last_lines(log));
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Ends the program now.
    pub fn end(&mut self) {
        // Both fail when the program has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// The identifier of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.end();
    }
}

/// The end of a log.
#[must_use]
pub fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(20)..)
        .unwrap_or_default()
        .join("\n")
}

/// Free ports of the loopback interface, never the same port twice in one process.
///
/// They are below the ports that Linux gives to outgoing connections (`ip_local_port_range`, from 32768
/// on): such a connection could take a port before the program that it is meant for.
///
/// # Errors
/// Too few ports are free.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    // Processes that run side by side begin in different places.
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let mut ports = Vec::new();
    for _ in FIRST_PORT..LAST_PORT {
        if ports.len() == count {
            break;
        }
        let tried = TRIED
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(std::process::id().wrapping_mul(97));
        let port = FIRST_PORT + u16::try_from(tried % u32::from(LAST_PORT - FIRST_PORT))?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            ports.push(port);
        }
    }
    ensure!(
        ports.len() == count,
        "no free ports from {FIRST_PORT} to {LAST_PORT}"
    );
    Ok(ports)
}

const FIRST_PORT: u16 = 20000;
const LAST_PORT: u16 = 32000;
