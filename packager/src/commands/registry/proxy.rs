//! Which proxy a request uses, by the environment variables as Go reads them (golang.org/x/net
//! `http/httpproxy/proxy.go`): gateways, podman, crane and skopeo read them so.

use std::env;
use std::net::IpAddr;

use reqwest::Url;

use super::exchange::address;

/// The proxies of the environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<Rule>,
}

/// A proxy, and the variable that names it.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) url: Url,
    pub(super) variable: &'static str,
}

/// An item of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    All,
    /// A network in CIDR notation: its address and the length of its prefix.
    Network(IpAddr, u8),
    Address(IpAddr, Option<u16>),
    Domain {
        /// The domain without a dot in front.
        suffix: String,
        /// Whether the domain itself matches, not only its subdomains.
        includes_domain: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    pub(super) fn from_environment() -> Self {
        Self::new(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let proxy = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let url = parse(&variable(name)?)?;
                Some(Proxy {
                    url,
                    variable: name,
                })
            })
        };
        let direct = ["NO_PROXY", "no_proxy"]
            .iter()
            .find_map(|name| variable(name));
        Self {
            http: proxy(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            https: proxy(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            direct: direct
                .unwrap_or_default()
                .split(',')
                .filter_map(Rule::parse)
                .collect(),
        }
    }

    /// The proxy for a URL; `None` if the request goes to the server directly.
    pub(super) fn find(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }?;
        if self.is_direct(url) {
            None
        } else {
            Some(proxy)
        }
    }

    fn is_direct(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        let address: Option<IpAddr> = host.parse().ok();
        // A proxy cannot reach the loopback interface of this machine.
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        let port = url.port_or_known_default().unwrap_or_default();
        self.direct
            .iter()
            .any(|rule| rule.matches(host, address, port))
    }

    /// The passwords of the proxies.
    pub(super) fn passwords(&self) -> impl Iterator<Item = &str> {
        [&self.http, &self.https]
            .into_iter()
            .flatten()
            .filter_map(|proxy| proxy.url.password())
    }
}

/// A proxy's URL. Without a scheme it is `http`.
fn parse(text: &str) -> Option<Url> {
    match Url::parse(text) {
        Ok(url) if url.has_host() => Some(url),
        Ok(_) | Err(_) => Url::parse(&format!("http://{text}")).ok(),
    }
}

impl Proxy {
    /// The URL without a user name and a password.
    pub(super) fn name(&self) -> String {
        format!("{}://{}", self.url.scheme(), address(&self.url))
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((address, length)) = text.split_once('/')
            && let (Ok(address), Ok(length)) = (address.parse(), length.parse())
        {
            return Some(Self::Network(address, length));
        }

        let (host, port) = split_port(&text);
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Some(Self::Address(address, port));
        }
        // `.example.com` and `*.example.com` are the subdomains only.
        let suffix = host.trim_start_matches('*').trim_start_matches('.');
        if suffix.is_empty() {
            return None;
        }
        Some(Self::Domain {
            suffix: suffix.to_owned(),
            includes_domain: suffix.len() == host.len(),
            port,
        })
    }

    fn matches(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Network(network, length) => {
                address.is_some_and(|address| is_inside(address, *network, *length))
            }
            Self::Address(expected, only) => {
                address == Some(*expected) && only.is_none_or(|only| only == port)
            }
            Self::Domain {
                suffix,
                includes_domain,
                port: only,
            } => {
                let matches = match host.strip_suffix(suffix.as_str()) {
                    Some("") => *includes_domain,
                    Some(start) => start.ends_with('.'),
                    None => false,
                };
                matches && only.is_none_or(|only| only == port)
            }
        }
    }
}

/// The host and the port of `HOST:PORT`, if there is one. Colons of an IPv6 address separate no port.
fn split_port(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (text, None),
        },
        Some(_) | None => (text, None),
    }
}

fn is_inside(address: IpAddr, network: IpAddr, length: u8) -> bool {
    match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if length <= 32 => {
            let shift = 32 - u32::from(length);
            u64::from(address.to_bits()) >> shift == u64::from(network.to_bits()) >> shift
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if length <= 128 => {
            let shift = 128 - u32::from(length);
            // A shift by all bits leaves nothing to compare.
            address.to_bits().checked_shr(shift) == network.to_bits().checked_shr(shift)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Proxies;

    /// The proxy for a URL, with these variables.
    fn proxy(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let proxies = Proxies::new(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        });
        proxies.find(&url.parse().unwrap()).map(super::Proxy::name)
    }

    #[track_caller]
    fn check(no_proxy: &str, url: &str, is_direct: bool) {
        let variables = [("HTTPS_PROXY", "proxy:3128"), ("NO_PROXY", no_proxy)];
        assert_eq!(
            proxy(&variables, url).is_none(),
            is_direct,
            "{no_proxy} {url}"
        );
    }

    #[test]
    fn items_of_no_proxy() {
        for (no_proxy, url, is_direct) in [
            ("", "https://r.example.com/", false),
            ("*", "https://r.example.com/", true),
            ("*.example.com", "https://r.example.com/", true),
            ("*.example.com", "https://example.com/", false),
            (".example.com", "https://r.example.com/", true),
            (".example.com", "https://example.com/", false),
            ("example.com", "https://r.example.com/", true),
            ("example.com", "https://example.com/", true),
            ("example.com", "https://notexample.com/", false),
            ("a, Example.com ,b", "https://example.com/", true),
            ("r.example.com:443", "https://r.example.com/", true),
            ("r.example.com:5000", "https://r.example.com:5000/", true),
            ("r.example.com:5000", "https://r.example.com/", false),
            ("10.0.0.0/8", "https://10.1.2.3/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("0.0.0.0/0", "https://11.1.2.3/", true),
            ("10.1.2.3", "https://10.1.2.3/", true),
            ("10.1.2.3:80", "https://10.1.2.3/", false),
            ("fd00::/8", "https://[fd00::1]/", true),
            ("::/0", "https://[fd00::1]/", true),
            ("[fd00::1]:443", "https://[fd00::1]/", true),
            ("fd00::2", "https://[fd00::1]/", false),
            ("10.0.0.0/99,.,*.", "https://10.0.0.1/", false),
        ] {
            check(no_proxy, url, is_direct);
        }
    }

    #[test]
    fn this_machine_is_reached_directly() {
        for url in [
            "http://localhost:5000/",
            "http://127.8.9.1/",
            "http://[::1]:80/",
        ] {
            assert_eq!(
                proxy(&[("HTTP_PROXY", "http://proxy:3128")], url),
                None,
                "{url}"
            );
        }
    }

    #[test]
    fn each_scheme_has_its_variables() {
        let both = [("http_proxy", "http://u:p@a:1"), ("HTTPS_PROXY", "b:2")];
        assert_eq!(
            proxy(&both, "http://r.example.com/").as_deref(),
            Some("http://a:1")
        );
        assert_eq!(
            proxy(&both, "https://r.example.com/").as_deref(),
            Some("http://b:2")
        );
        assert_eq!(
            proxy(&[("HTTP_PROXY", "a:1")], "https://r.example.com/"),
            None
        );
        let all = [("ALL_PROXY", "https://c:3")];
        assert_eq!(
            proxy(&all, "https://r.example.com/").as_deref(),
            Some("https://c:3")
        );
    }
}
