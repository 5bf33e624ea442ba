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
#[derive(Clone)]
struct Row {
    server: String,
    place: String,
    hosts: String,
}

/// The widths of the cells of a table.
struct Columns {
    server: usize,
    /// With the gap after it; 0 for resources of a cluster, which have no place.
    place: usize,
    /// What the hosts need at least.
    hosts: usize,
}

impl Columns {
    fn new(rows: &[Row]) -> Self {
        let widest = |cell: fn(&Row) -> &str| {
            rows.iter()
                .map(|row| cell(row).chars().count())
                .max()
                .unwrap_or_default()
        };
        let place = widest(|row| &row.place);
        Self {
            server: widest(|row| &row.server),
            place: if place == 0 { 0 } else { place + 2 },
            hosts: widest(|row| &row.hosts).min(MIN_HOSTS_WIDTH),
        }
    }

    fn start_of_hosts(&self) -> usize {
        4 + self.server + 2 + self.place
    }

    fn fit(&self, width: usize) -> bool {
        self.start_of_hosts() + self.hosts <= width
    }
}

/// The folder that the places of all rows begin with, with its slash.
fn common_folder(rows: &[Row]) -> Option<String> {
    let (first, others) = rows.split_first()?;
    let folder = |length: usize| first.place.get(..=length);
    // From the deepest folder of the first place up.
    first
        .place
        .rmatch_indices('/')
        .filter_map(|(slash, _)| folder(slash))
        .find(|folder| others.iter().all(|row| row.place.starts_with(folder)))
        .map(str::to_owned)
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
        let mut rows: Vec<Row> = servers
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
        let title = match self.shorten(&mut rows) {
            Some(folder) => format!("{title}, in {folder}:"),
            None => format!("{title}:"),
        };
        writeln!(sink, "  {}", painted(&title, BOLD, self.style))?;
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

    /// Removes the folder of all places from them, if the rows then fit into a table. Returns the folder.
    fn shorten(&self, rows: &mut [Row]) -> Option<String> {
        if Columns::new(rows).fit(self.style.width) {
            return None;
        }
        let folder = common_folder(rows)?;
        let mut shorter = rows.to_vec();
        for row in &mut shorter {
            row.place.drain(..folder.len());
        }
        if !Columns::new(&shorter).fit(self.style.width) {
            return None;
        }
        rows.clone_from_slice(&shorter);
        Some(folder)
    }

    /// Aligned columns if there is space for the hosts beside the others, else a paragraph for each server.
    fn write_rows(&self, rows: &[Row], sink: &mut dyn Write) -> io::Result<()> {
        let columns = Columns::new(rows);
        let Columns {
            server: server_width,
            place: places,
            ..
        } = columns;
        let column = columns.start_of_hosts();
        let is_table = columns.fit(self.style.width);
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
