//! `--explain`: what the codes of findings mean.

use anyhow::{Result, bail};
use gateway::advice::Advice;
use gateway::findings::{Code, Info};

use crate::console::{Console, ExitStatus};
use crate::spelling;

/// Prints the meaning of codes and names; without any, a list of all codes.
pub(super) fn explain(texts: &[String], console: &mut Console<'_>) -> Result<ExitStatus> {
    // A typing error in the last code is reported before the first is printed.
    let mut codes = Vec::new();
    for text in texts {
        match parse(text) {
            Some(code) => codes.push(code),
            None => bail!(unknown(text)),
        }
    }
    if codes.is_empty() {
        for code in Code::ALL {
            writeln!(
                console.out,
                "{}  {:<7}  {}",
                code.id(),
                code.severity().name(),
                code.name()
            )?;
        }
        return Ok(ExitStatus::Success);
    }
    for (index, code) in codes.into_iter().enumerate() {
        if index > 0 {
            writeln!(console.out)?;
        }
        write(code, console)?;
    }
    Ok(ExitStatus::Success)
}

fn write(code: Code, console: &mut Console<'_>) -> Result<()> {
    let Info {
        id,
        name,
        severity,
        what,
        why,
        example,
        fix,
        coalesced_answer: _,
    } = code.info();
    writeln!(
        console.out,
        "{id} {name} ({})\n\nWhat: {what}\n\nWhy: {why}\n\nExample: {example}\n\nFix: {fix}",
        severity.name()
    )?;
    Ok(())
}

/// Reads a code or a name, in upper or lower case.
fn parse(text: &str) -> Option<Code> {
    let name = text.to_lowercase();
    Code::parse(text).or_else(|| Code::ALL.iter().copied().find(|code| code.name() == name))
}

fn unknown(text: &str) -> Advice {
    // A mistyped code gets a suggestion, and the list in case the suggestion is wrong.
    let candidates = Code::ALL.iter().flat_map(|code| [code.id(), code.name()]);
    let nearest = spelling::nearest(text, candidates);
    let mut hint = "`packager check --explain` lists the codes".to_owned();
    if let Some(question) = spelling::question(nearest.map(|code| (text, code))) {
        hint = format!("{question} {hint}");
    }
    Advice::new(
        format!("{text:?} is not a code or a name of a finding"),
        hint,
    )
}
