//! What clients ask of the API: how often, how often in vain, how long they wait.

use crate::boards::{
    Panel, Query, Row,
    board::{AFTER_TROUBLE, Unit, falling},
    promql::{VALIDATOR, each, quantile_by, rate_by, rate_of_each},
};

pub(super) fn row() -> Row {
    let mut panels = requests();
    panels.extend(connections());
    Row::new("API", panels)
}

fn requests() -> Vec<Panel> {
    vec![
        Panel::lines("Requests, by route", Unit::RequestsASecond, "Requests a second to all validators. A sudden rise on one route is one client; rates by key and address are in the configuration.")
            .ask("{{route}}", rate_by("route", "cairn_http_requests_total")),
        Panel::stack("Answers, by status", Unit::RequestsASecond, "Answers a second by HTTP status. 4xx are the clients' (409: refused, 429: too many); 5xx are ours: 503 says that the validator is not able to answer for now, and the answer's code says why.")
            .ask("{{status}}", rate_by("status", "cairn_http_requests_total")),
        Panel::lines("Failed requests, by route", Unit::RequestsASecond, "Answers of 500 and above. Look at *Ready*, *Store reachable* and the validators' logs at that time.")
            .query(Query::new("{{route}}", r#"sum by (route) (rate(cairn_http_requests_total{@,status=~"5.."}[$__rate_interval]))"#).quiet(AFTER_TROUBLE)),
        Panel::lines("Duration, half within", Unit::Seconds, "From a request's head to the head of its answer. Writes that wait for their commit take as long as a commit; reads that become slow point to the disk or to expensive searches.")
            .ask("{{route}}", quantile_by("0.5", "route", "cairn_http_request_seconds")),
        Panel::lines("Duration, 99 % within", Unit::Seconds, "The same for the slowest of a hundred. When writes are slow see *Commit latency*; when reads are slow, *Search behind* and *CPU*.")
            .ask("{{route}}", quantile_by("0.99", "route", "cairn_http_request_seconds")),
    ]
}

fn connections() -> Vec<Panel> {
    vec![
        Panel::lines("Open connections", Unit::Count, "HTTP connections to each validator. When one has many more than the others, clients do not spread their load.")
            .ask(VALIDATOR, each("cairn_http_connections")),
        Panel::lines("Open streams", Unit::Count, "Readers of the event streams, by kind. A drop to 0 with clients there means that they were sent away or cut off: see *Readers sent away*.")
            .ask("{{kind}}", "sum by (kind) (cairn_streams{@})"),
        Panel::lines("Events told", Unit::ASecond, "Events a second that readers of streams were told, by kind. It follows *Committed* times the number of readers; where it lags behind that, readers are slow.")
            .query(Query::new("{{kind}}", rate_by("kind", "cairn_stream_events_total")).quiet("only with readers of streams")),
        Panel::lines("Readers sent away", Unit::ASecond, "Readers of streams that were disconnected, by reason: slow and silent are theirs, trouble is ours and is in the log. They resume where they were.")
            .query(Query::new("{{reason}}", rate_by("reason", "cairn_stream_readers_dropped_total")).quiet(AFTER_TROUBLE)),
        Panel::lines("Connections closed for newcomers", Unit::ASecond, "Idle connections that gave way because all places were taken. Steadily above 0: clients keep too many connections open, or the limit in the configuration is too low.")
            .sized(12, 7)
            .ask(VALIDATOR, rate_of_each("cairn_http_connections_evicted_total")),
        Panel::stat("API certificate valid for", Unit::Seconds, "How long until the first certificate of an API ends. It is read again when its files change: renew it before this is 0.")
            .sized(12, 7)
            .steps(falling(259_200.0, 1_209_600.0))
            .query(Query::new("valid for", "min(cairn_tls_certificate_expiry_seconds{@} > 0) - time()").quiet("only with TLS")),
    ]
}
