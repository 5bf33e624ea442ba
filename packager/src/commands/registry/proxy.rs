//! Which proxy a request uses, by the environment variables as Go reads them (golang.org/x/net
//! `http/httpproxy/proxy.go`): gateways, podman, crane and skopeo read them so.

use std::env;
use std::net::IpAddr;

use reqwest::Url;

use super::exchange::address;
use super::tokens::basic;

/// The proxies of the environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    http: Option<Setting>,
    https: Option<Setting>,
    direct: Vec<Rule>,
}

/// The value of a variable.
#[derive(Clone, Debug)]
enum Setting {
    Proxy(Proxy),
    /// The value is not the URL of a proxy. It may have a password, so it is not kept.
    Unusable(Unusable),
}

/// A variable whose value is not the URL of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) variable: &'static str,
}

/// The schemes of proxies that this client has.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

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
        Self::new(|name| {
            let value = env::var_os(name).filter(|value| !value.is_empty())?;
            // A value that is not UTF-8 is not a URL either, and must not be skipped.
            Some(value.to_string_lossy().into_owned())
        })
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let proxy = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                Some(match parse(&variable(name)?) {
                    Some(url) => Setting::Proxy(Proxy {
                        url,
                        variable: name,
                    }),
                    None => Setting::Unusable(Unusable { variable: name }),
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
    ///
    /// # Errors
    /// The variable for the URL does not name a proxy. Go would ignore it, and send the request past the proxy.
    pub(super) fn find(&self, url: &Url) -> Result<Option<&Proxy>, Unusable> {
        let setting = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        match setting {
            None => Ok(None),
            Some(_) if self.is_direct(url) => Ok(None),
            Some(Setting::Proxy(proxy)) => Ok(Some(proxy)),
            Some(Setting::Unusable(unusable)) => Err(*unusable),
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

    /// The passwords of the proxies as the URLs have them, as the proxies get them, and as they are sent.
    pub(super) fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for setting in [&self.http, &self.https].into_iter().flatten() {
            let Setting::Proxy(Proxy { url, .. }) = setting else {
                continue;
            };
            if let Some(encoded) = url.password() {
                let password = percent_decoded(encoded);
                secrets.push(encoded.to_owned());
                secrets.push(basic(&percent_decoded(url.username()), &password));
                secrets.push(password);
            }
        }
        secrets
    }
}

/// A proxy's URL. Without a scheme it is `http`.
fn parse(text: &str) -> Option<Url> {
    let mut url = if text.contains("://") {
        Url::parse(text).ok()?
    } else {
        Url::parse(&format!("http://{text}")).ok()?
    };
    // Go has the proxy resolve names, also with `socks5`.
    if url.scheme() == "socks5" {
        url.set_scheme("socks5h").ok()?;
    }
    (url.has_host() && SCHEMES.contains(&url.scheme())).then_some(url)
}

/// A part of a URL without percent-encoding (RFC 3986 §2.1).
fn percent_decoded(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        octets.extend_from_slice(before.as_bytes());
        let digits = after.get(..2);
        if let Some(octet) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            octets.push(octet);
            rest = after.get(2..).unwrap_or_default();
        } else {
            octets.push(b'%');
            rest = after;
        }
    }
    octets.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&octets).into_owned()
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
        proxies
            .find(&url.parse().unwrap())
            .unwrap()
            .map(super::Proxy::name)
    }

    #[test]
    fn passwords_are_secrets_in_each_form() {
        let proxies = Proxies::new(|name| {
            (name == "HTTPS_PROXY").then(|| "http://u:a%40b%2x%c3%A9%@proxy:1".to_owned())
        });
        let secrets = proxies.secrets();
        assert!(secrets.contains(&"a@b%2xé%".to_owned()), "{secrets:?}");
        assert!(
            secrets.contains(&super::basic("u", "a@b%2xé%")),
            "{secrets:?}"
        );
    }

    #[test]
    fn a_value_that_is_not_the_url_of_a_proxy_is_an_error() {
        for value in [
            "http://u:p@proxy:port",
            "ftp://proxy",
            "http://",
            "socks4://proxy",
        ] {
            let proxies = Proxies::new(|name| (name == "https_proxy").then(|| value.to_owned()));
            let find = |url: &str| {
                proxies
                    .find(&url.parse().unwrap())
                    .map(|proxy| proxy.is_some())
            };
            let variable = "https_proxy";
            assert_eq!(
                find("https://r.example.com/"),
                Err(super::Unusable { variable }),
                "{value}"
            );
            assert_eq!(find("https://localhost/"), Ok(false), "{value}");
            assert_eq!(find("http://r.example.com/"), Ok(false), "{value}");
        }
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
