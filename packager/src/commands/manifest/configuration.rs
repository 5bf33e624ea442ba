//! The filter's configuration for `packager manifest`: the file of `--config` with the flags on top.

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use rule::{Config, Rule};

use super::{Args, flags};
use crate::commands::settings_file;
use crate::commands::source::Source;
use crate::console::Console;
use crate::settings::Settings;

/// The configuration, checked by the filter's own type.
pub(super) fn settings(args: &Args, console: &mut Console<'_>) -> Result<Settings> {
    let path = args.config.as_deref();
    let mut settings = settings_file::read(path, console)?;

    // Flags override the file.
    if let Some(rule) = &args.rule {
        settings.set("rule", rule.as_str());
    }
    if let Some(action) = &args.action {
        settings.set("action", action.as_str());
    }
    for (host, action) in flags::host_actions(args)? {
        settings.set_host(&host, &action);
    }

    let name = settings_file::name(path);
    let config = settings.check().with_context(|| name.clone())?;
    match args.source() {
        Some(source) => refuse_second_table(&settings, &config, &name, source)?,
        None if args.all_servers => bail!(Advice::new(
            "--all-servers lists the servers of resources, and no resources are given",
            "give them with --from PATH or --cluster"
        )),
        None => {}
    }
    Ok(settings)
}

/// Refuses a configuration that has its own list of servers, or whose rule does not read servers.
fn refuse_second_table(
    settings: &Settings,
    config: &Config,
    name: &str,
    source: Source<'_>,
) -> Result<()> {
    let flag = flags::flag_of(source);
    let hint = "use only one of the two";
    // Merging two tables would hide which one is right.
    if settings.has("servers") {
        let message = format!("{name} lists servers, and {flag} lists them too");
        bail!(Advice::new(message, hint));
    }
    if matches!(config.rule(), Rule::Exact) {
        let message = format!("{name}: rule exact does not read servers, and {flag} lists them");
        bail!(Advice::new(message, hint));
    }
    Ok(())
}
