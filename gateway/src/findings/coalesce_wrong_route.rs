//! SG102: a request on a coalesced connection gets the routes of another server. The module `coalesce`
//! finds it.

use super::info::{Info, Severity};

pub(super) const INFO: Info = Info {
    id: "SG102",
    name: "coalesce-wrong-route",
    severity: Severity::Error,
    what: "A client can send requests for one host over a connection that it opened for a host of \
           another server. That server also has a virtual host for the requested host, but with other \
           routes.",
    why: "The wrong backend answers the request, often with status 200, so the error stays unnoticed.",
    example: "One Gateway has *.example.com with a route for every host, another Gateway has \
              b.example.com, and one certificate covers both. A request for b.example.com on a \
              connection for x.example.com goes to the backend of the wildcard.",
    fix: "Serve all hosts from one server (packager merge plans this), use a certificate for the hosts of \
          each server only, or install the filter (packager manifest writes its resource). With an \
          installed filter that answers 421 the severity is info.",
    coalesced_answer: Some("wrong routes"),
};
