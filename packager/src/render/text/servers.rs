//! The servers of a finding: a line for each, with its file and its hosts.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, Write};

use gateway::ServerId;
use gateway::findings::{Finding, ListenerAddress, Report, WorkloadName};
use gateway::resources::ResourceName;

use super::super::count::count;
use super::super::hidden::printable;
use super::super::presentation::Style;
use super::{BOLD, painted, place, some, write_lines_after};
use crate::render::wrap::wrapped;

/// How many servers a list has, and how many hosts a server has in it, without `--verbose`.
const MAX_SERVERS: usize = 20;
const MAX_HOSTS: usize = 3;
/// The shortest list that is shortened to its hosts where the servers are listed already.
const MIN_REPEATED: usize = 4;
/// The least space for hosts beside the other columns.
const MIN_HOSTS_WIDTH: usize = 24;

type HostsByServer<'r> =
    HashMap<(&'r WorkloadName, &'r ListenerAddress, &'r ServerId), &'r [String]>;

/// The servers of the checked listeners, and which of them the text has listed so far.
pub(super) struct ServerTable<'r> {
    hosts: HostsByServer<'r>,
    listed: HashSet<&'r ServerId>,
    style: Style,
}

/// The cells of a line.
struct Row {
    server: String,
    place: String,
    hosts: String,
}

impl<'r> ServerTable<'r> {
    pub(super) fn new(report: &'r Report, style: Style) -> Self {
        let mut hosts = HashMap::new();
        for listener in &report.listeners {
            for server in &listener.servers {
                let key = (&listener.workload, &listener.address, &server.id);
                hosts.insert(key, server.hosts.as_slice());
            }
        }
        Self {
            hosts,
            listed: HashSet::new(),
            style,
        }
    }

    /// Writes the servers of a finding about pairs. Where connections and requests have different servers,
    /// the direction matters.
    pub(super) fn write(&mut self, finding: &'r Finding, sink: &mut dyn Write) -> io::Result<()> {
        let connections: BTreeSet<&ServerId> = finding.connections.iter().collect();
        let owners: BTreeSet<&ServerId> = finding.owners.iter().collect();
        if connections == owners {
            return self.write_list("servers", &connections, finding, sink);
        }
        // One list is shorter where most servers are on both sides.
        let both = &connections & &owners;
        if both.len() * 2 > connections.len().max(owners.len()) {
            self.write_list("connections to and requests for", &both, finding, sink)?;
            let only_connections = &connections - &owners;
            let only_owners = &owners - &connections;
            self.write_list("connections to", &only_connections, finding, sink)?;
            return self.write_list("requests for", &only_owners, finding, sink);
        }
        self.write_list("connections to", &connections, finding, sink)?;
        self.write_list("requests for", &owners, finding, sink)
    }

    fn write_list(
        &mut self,
        title: &str,
        servers: &BTreeSet<&'r ServerId>,
        finding: &'r Finding,
        sink: &mut dyn Write,
    ) -> io::Result<()> {
        if servers.is_empty() {
            return Ok(());
        }
        // The lines of an earlier finding have the files already, and a screen has few lines.
        let is_repeated = servers.iter().all(|server| self.listed.contains(server));
        if is_repeated && servers.len() >= MIN_REPEATED && !self.style.verbose {
            return self.write_repeated(title, servers, finding, sink);
        }
        writeln!(
            sink,
            "  {}",
            painted(&format!("{title}:"), BOLD, self.style)
        )?;
        let max = if self.style.verbose {
            usize::MAX
        } else {
            MAX_SERVERS
        };
        let places: HashMap<&ResourceName, String> = finding
            .resources
            .iter()
            .filter_map(|resource| Some((&resource.name, place(resource)?)))
            .collect();
        let rows: Vec<Row> = servers
            .iter()
            .take(max)
            .map(|server| Row {
                server: printable(&server.to_string()),
                place: places
                    .get(&server.resource)
                    .map(|place| printable(place))
                    .unwrap_or_default(),
                hosts: self.hosts_of(server, finding),
            })
            .collect();
        self.write_rows(&rows, sink)?;
        self.listed.extend(servers.iter().take(max));
        let others = servers.len() - rows.len();
        if others > 0 {
            writeln!(sink, "    and {}", count(others, "more server"))?;
        }
        Ok(())
    }

    /// The hosts of servers that are listed above, in a paragraph.
    fn write_repeated(
        &self,
        title: &str,
        servers: &BTreeSet<&ServerId>,
        finding: &Finding,
        sink: &mut dyn Write,
    ) -> io::Result<()> {
        let hosts: Vec<String> = servers
            .iter()
            .take(MAX_SERVERS)
            .map(|server| self.hosts_of(server, finding))
            .collect();
        let others = match servers.len() - hosts.len() {
            0 => String::new(),
            others => format!(", and {}", count(others, "more server")),
        };
        let text = format!(
            "{title} ({} of the servers above): {}{others}",
            servers.len(),
            hosts.join(", ")
        );
        write!(sink, "  ")?;
        write_lines_after(&text, 2, 4, self.style, sink)
    }

    /// Aligned columns if there is space for the hosts beside the others, else a paragraph for each server.
    fn write_rows(&self, rows: &[Row], sink: &mut dyn Write) -> io::Result<()> {
        let server_width = rows.iter().map(|row| row.server.chars().count()).max();
        let place_width = rows.iter().map(|row| row.place.chars().count()).max();
        let (server_width, place_width) = (
            server_width.unwrap_or_default(),
            place_width.unwrap_or_default(),
        );
        // Resources of a cluster have no place.
        let places = if place_width == 0 { 0 } else { place_width + 2 };
        let column = 4 + server_width + 2 + places;
        let is_table = column + MIN_HOSTS_WIDTH <= self.style.width;
        for Row {
            server,
            place,
            hosts,
        } in rows
        {
            if is_table {
                write!(sink, "    {server:server_width$}  {place:places$}")?;
                for line in wrapped(hosts, column, column, self.style.width) {
                    writeln!(sink, "{line}")?;
                }
            } else {
                let text = [server, place, hosts]
                    .into_iter()
                    .filter(|cell| !cell.is_empty())
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", ");
                write!(sink, "    ")?;
                write_lines_after(&text, 4, 6, self.style, sink)?;
            }
        }
        Ok(())
    }

    /// The hosts of a server on the listener of a finding.
    fn hosts_of(&self, server: &ServerId, finding: &Finding) -> String {
        let (Some(workload), Some(listener)) = (&finding.workload, &finding.listener) else {
            return String::new();
        };
        let hosts = self
            .hosts
            .get(&(workload, listener, server))
            .copied()
            .unwrap_or_default();
        let max = if self.style.verbose {
            usize::MAX
        } else {
            MAX_HOSTS
        };
        printable(&some(hosts, max, "host"))
    }
}
