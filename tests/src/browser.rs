//! Real browsers. They only open a page; its script sends the requests.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::Background;
use crate::tools;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browser {
    /// Debian's Chromium, or Chrome.
    Chromium,
    /// Debian's Firefox ESR, or Firefox.
    Firefox,
}

/// A browser that runs, ended with this value.
#[derive(Debug)]
pub struct Window {
    process: Background,
    /// Its home, with its profile, which it has open.
    home: TempDir,
}

impl Browser {
    /// Opens pages, each in a tab, without a window, in a profile of its own that trusts this
    /// authority, with every host of `example.com` on the loopback interface.
    ///
    /// # Errors
    /// The browser is not installed, or its profile cannot be made.
    pub fn open(self, pages: &[String], authority: &Path) -> Result<Window> {
        let home = TempDir::new()?;
        let mut command = match self {
            Self::Chromium => chromium(home.path(), pages, authority)?,
            Self::Firefox => firefox(home.path(), pages, authority)?,
        };
        let log = home.path().join("log");
        command.env("HOME", home.path());
        Ok(Window {
            process: Background::spawn(&mut command, &log)?,
            home,
        })
    }
}

impl Window {
    /// The log of the browser, for a failed test.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// The identifier of its main process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// What Chromium makes of a page in a file, once its script has run.
///
/// # Errors
/// Chromium is not installed, or fails.
pub fn rendered(page: &Path) -> Result<String> {
    let home = TempDir::new()?;
    let output = headless_chromium(home.path())
        .arg("--dump-dom")
        .arg(page)
        .output()
        .context("starting Chromium: `make setup` installs it")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// With `--ignore-certificate-errors` in the place of trust it would not reuse connections, and a
/// test would prove nothing.
fn chromium(home: &Path, pages: &[String], authority: &Path) -> Result<Command> {
    trust(&home.join(".pki/nssdb"), authority)?;
    let opener = home.join("opener.html");
    let open = |page| format!("window.open({page:?}, \"_blank\", \"noopener\");");
    let open: Vec<String> = pages.iter().map(open).collect();
    fs::write(
        &opener,
        format!("<!doctype html>\n<script>{}</script>\n", open.join("\n")),
    )?;
    let mut command = headless_chromium(home);
    command
        .args([
            "--disable-quic",
            "--host-resolver-rules=MAP *.example.com 127.0.0.1",
        ])
        // Without a window it takes one page alone, which opens the others.
        .arg("--disable-popup-blocking")
        .arg(&opener);
    Ok(command)
}

fn headless_chromium(home: &Path) -> Command {
    let mut command = Command::new(installed("chromium", "google-chrome"));
    command
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args(["--disable-sync", "--window-size=1280,1000"])
        .arg(format!(
            "--user-data-dir={}",
            home.join("profile").display()
        ))
        .env("HOME", home);
    command
}

fn firefox(home: &Path, pages: &[String], authority: &Path) -> Result<Command> {
    let profile = home.join("profile");
    trust(&profile, authority)?;
    fs::write(profile.join("user.js"), include_str!("browser/user.js"))?;
    let mut command = Command::new(installed("firefox-esr", "firefox"));
    command
        .arg("--headless")
        .arg("--no-remote")
        .arg("--profile")
        .arg(profile)
        .args(pages);
    Ok(command)
}

/// The first of two programs, or the second where only the second is installed, as on other systems
/// than Debian.
fn installed(first: &'static str, second: &'static str) -> &'static str {
    if !is_installed(first) && is_installed(second) {
        second
    } else {
        first
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Makes a certificate database (NSS) that trusts this authority to name servers.
fn trust(database: &Path, authority: &Path) -> Result<()> {
    fs::create_dir_all(database)?;
    let database = format!("sql:{}", database.display());
    tools::run("certutil", &["-d", &database, "-N", "--empty-password"])?;
    let authority = authority.to_string_lossy();
    tools::run(
        "certutil",
        &[
            "-d", &database, "-A", "-n", "tests", "-t", "C,,", "-i", &authority,
        ],
    )?;
    Ok(())
}
