//! Alerts about what a validator stands on: its disk, its files, its certificate.

use super::{Alert, Case, Fired, Severity};

/// For an alert about Alice.
const fn alice(value: &'static str) -> Fired {
    Fired { labels: &[("cairndb_io_validator", "alice")], value }
}

pub(super) const ALERTS: &[Alert] = &[
    DISK_SLOW,
    DISK_FILLING,
    DISK_ALMOST_FULL,
    FDS_RUNNING_OUT,
    CERTIFICATE_EXPIRING,
    CERTIFICATE_ALMOST_EXPIRED,
];

const DISK_SLOW: Alert = Alert {
    name: "CairnDiskSlow",
    severity: Severity::Warning,
    lasting: "10m",
    expression: "
        histogram_quantile(0.99, sum by (VALIDATOR, le) (rate(cairn_fsync_seconds_bucket{OF}[10m]))) > 0.5
        and on (VALIDATOR) sum by (VALIDATOR) (increase(cairn_fsync_seconds_count{OF}[10m])) > 100
    ",
    of_one: None,
    summary: "The disk of {{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} is slow",
    description: "One in a hundred writes takes {{ $value | humanizeDuration }} or longer until it is durable. Nothing is signed or stored before that: its votes come too late, and while it leads the log everybody waits for it.",
    cases: &[
        Case {
            why: "one in ten takes a second",
            step: "1m",
            series: &[
                ("cairn_fsync_seconds_bucket{alice, class=\"journal\", le=\"0.01\"}", "0+90x40"),
                ("cairn_fsync_seconds_bucket{alice, class=\"journal\", le=\"0.5\"}", "0+90x40"),
                ("cairn_fsync_seconds_bucket{alice, class=\"journal\", le=\"1.0\"}", "0+100x40"),
                ("cairn_fsync_seconds_bucket{alice, class=\"journal\", le=\"+Inf\"}", "0+100x40"),
                ("cairn_fsync_seconds_count{alice, class=\"journal\"}", "0+100x40"),
            ],
            at: "30m",
            fires: &[alice("950ms")],
        },
        Case {
            why: "all within ten milliseconds",
            step: "1m",
            series: &[
                ("cairn_fsync_seconds_bucket{alice, class=\"journal\", le=\"0.01\"}", "0+100x40"),
                ("cairn_fsync_seconds_bucket{alice, class=\"journal\", le=\"+Inf\"}", "0+100x40"),
                ("cairn_fsync_seconds_count{alice, class=\"journal\"}", "0+100x40"),
            ],
            at: "30m",
            fires: &[],
        },
        Case {
            why: "one slow write of a few is no slow disk",
            step: "1m",
            series: &[
                ("cairn_fsync_seconds_bucket{alice, class=\"raft\", le=\"0.01\"}", "0+2x40"),
                ("cairn_fsync_seconds_bucket{alice, class=\"raft\", le=\"0.5\"}", "0+2x40"),
                ("cairn_fsync_seconds_bucket{alice, class=\"raft\", le=\"1.0\"}", "0+3x40"),
                ("cairn_fsync_seconds_bucket{alice, class=\"raft\", le=\"+Inf\"}", "0+3x40"),
                ("cairn_fsync_seconds_count{alice, class=\"raft\"}", "0+3x40"),
            ],
            at: "30m",
            fires: &[],
        },
    ],
};

const DISK_FILLING: Alert = Alert {
    name: "CairnDiskFilling",
    severity: Severity::Warning,
    lasting: "1h",
    // Not in the first hours, when space is set aside once and for all.
    expression: "
        min by (VALIDATOR) (cairn_data_free_bytes{OF} / cairn_data_size_bytes{OF}) < 0.5
        and on (VALIDATOR) min by (VALIDATOR) (predict_linear(cairn_data_free_bytes{OF}[6h], 3 * 86400)) < 0
        and on (VALIDATOR) min by (VALIDATOR) (cairn_data_free_bytes{OF} offset 6h) > 0
        unless on (VALIDATOR) min by (VALIDATOR) (cairn_data_free_bytes{OF} / cairn_data_size_bytes{OF}) < 0.1
    ",
    of_one: None,
    summary: "The volume of {{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} is full within three days",
    description: "{{ $value | humanizePercentage }} of it is free. As fast as it filled in the last six hours, that is gone within three days, and a validator whose volume is full ends.",
    cases: &[
        Case {
            why: "a gigabyte an hour, of forty",
            step: "10m",
            series: &[
                ("cairn_data_free_bytes{alice}", "48000000000-166666667x60"),
                ("cairn_data_size_bytes{alice}", "100000000000+0x60"),
            ],
            at: "9h",
            fires: &[alice("39%")],
        },
        Case {
            why: "it is almost full, which another alert says",
            step: "10m",
            series: &[
                ("cairn_data_free_bytes{alice}", "18000000000-166666667x60"),
                ("cairn_data_size_bytes{alice}", "100000000000+0x60"),
            ],
            at: "9h",
            fires: &[],
        },
        Case {
            why: "a month is left",
            step: "10m",
            series: &[
                ("cairn_data_free_bytes{alice}", "48000000000-10000000x60"),
                ("cairn_data_size_bytes{alice}", "100000000000+0x60"),
            ],
            at: "9h",
            fires: &[],
        },
        Case {
            why: "space that is set aside at a start",
            step: "10m",
            series: &[
                ("cairn_data_free_bytes{alice}", "48000000000 40000000000 39000000000+0x60"),
                ("cairn_data_size_bytes{alice}", "100000000000+0x60"),
            ],
            at: "3h",
            fires: &[],
        },
    ],
};

const DISK_ALMOST_FULL: Alert = Alert {
    name: "CairnDiskAlmostFull",
    severity: Severity::Critical,
    lasting: "5m",
    expression: "
        min by (VALIDATOR) (cairn_data_free_bytes{OF} / cairn_data_size_bytes{OF}) < 0.1
        and on (VALIDATOR) min by (VALIDATOR) (cairn_data_free_bytes{OF}) < 20e9
    ",
    of_one: None,
    summary: "The volume of {{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} has {{ $value | humanizePercentage }} left",
    description: "When nothing is left, the validator ends (exit code 14) and its voting power is lost until there is room. Validators of one size fill at the same time: when more than a third of the power is gone, nobody can write.",
    cases: &[
        Case {
            why: "five of a hundred gigabytes",
            step: "1m",
            series: &[
                ("cairn_data_free_bytes{alice}", "5e9+0x20"),
                ("cairn_data_size_bytes{alice}", "100e9+0x20"),
            ],
            at: "10m",
            fires: &[alice("5%")],
        },
        Case {
            why: "a tenth of a large volume is a lot",
            step: "1m",
            series: &[
                ("cairn_data_free_bytes{alice}", "400e9+0x20"),
                ("cairn_data_size_bytes{alice}", "5000e9+0x20"),
            ],
            at: "10m",
            fires: &[],
        },
        Case {
            why: "being founded, when nobody has looked yet",
            step: "1m",
            series: &[
                ("cairn_data_free_bytes{alice}", "0+0x20"),
                ("cairn_data_size_bytes{alice}", "0+0x20"),
            ],
            at: "10m",
            fires: &[],
        },
    ],
};

const FDS_RUNNING_OUT: Alert = Alert {
    name: "CairnFdsRunningOut",
    severity: Severity::Warning,
    lasting: "15m",
    expression: "
        max by (VALIDATOR) (
          process_open_fds{OF, cairndb_io_validator!=\"\"} / process_max_fds{OF, cairndb_io_validator!=\"\"}
        ) > 0.9
    ",
    of_one: None,
    summary: "{{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} has {{ $value | humanizePercentage }} of its file descriptors open",
    description: "Without any left it can open neither connections nor files, and a file that cannot be opened ends it.",
    cases: &[
        Case {
            why: "as good as all",
            step: "1m",
            series: &[("process_open_fds{alice}", "1000+0x30"), ("process_max_fds{alice}", "1024+0x30")],
            at: "20m",
            fires: &[alice("97.66%")],
        },
        Case {
            why: "a busy day",
            step: "1m",
            series: &[("process_open_fds{alice}", "16000+0x30"), ("process_max_fds{alice}", "65536+0x30")],
            at: "20m",
            fires: &[],
        },
    ],
};

const CERTIFICATE_EXPIRING: Alert = Alert {
    name: "CairnCertificateExpiring",
    severity: Severity::Warning,
    lasting: "1h",
    // Certificates that live for days are renewed all the time: where that works there is nothing to say.
    expression: "
        min by (VALIDATOR) (cairn_tls_certificate_expiry_seconds{OF} > 0) - time() < 14 * 86400
        unless on (VALIDATOR) (
          min by (VALIDATOR) (cairn_tls_certificate_expiry_seconds{OF})
          > min by (VALIDATOR) (cairn_tls_certificate_expiry_seconds{OF} offset 10d > 0)
        )
    ",
    of_one: None,
    summary: "The API's certificate of {{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} ends in {{ $value | humanizeDuration }}",
    description: "Whoever should have renewed it did not. When it ends, clients that check it cannot connect to this validator; validators among themselves need no certificate.",
    cases: &[
        Case {
            why: "it ends after ten days, and nobody renews it",
            step: "1h",
            series: &[("cairn_tls_certificate_expiry_seconds{alice}", "864000+0x40")],
            at: "24h",
            fires: &[alice("9d 0h 0m 0s")],
        },
        Case {
            why: "it ends after three weeks",
            step: "1h",
            series: &[("cairn_tls_certificate_expiry_seconds{alice}", "1814400+0x40")],
            at: "24h",
            fires: &[],
        },
        Case {
            why: "it lives for a week, and is renewed",
            step: "1h",
            series: &[(
                "cairn_tls_certificate_expiry_seconds{alice}",
                "604800+0x119 1036800+0x119 1468800+0x119",
            )],
            at: "300h",
            fires: &[],
        },
        Case {
            why: "plain HTTP",
            step: "1h",
            series: &[("cairn_tls_certificate_expiry_seconds{alice}", "0+0x40")],
            at: "24h",
            fires: &[],
        },
    ],
};

const CERTIFICATE_ALMOST_EXPIRED: Alert = Alert {
    name: "CairnCertificateAlmostExpired",
    severity: Severity::Critical,
    lasting: "5m",
    expression: "min by (VALIDATOR) (cairn_tls_certificate_expiry_seconds{OF} > 0) - time() < 4 * 3600",
    of_one: None,
    summary: "The API's certificate of {{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} ends within hours, or has ended",
    description: "In {{ $value | humanizeDuration }}, clients that check certificates can no longer connect to this validator.",
    cases: &[
        Case {
            why: "an hour is left",
            step: "1m",
            series: &[("cairn_tls_certificate_expiry_seconds{alice}", "4200+0x60")],
            at: "10m",
            fires: &[alice("1h 0m 0s")],
        },
        Case {
            why: "it has ended",
            step: "1m",
            series: &[("cairn_tls_certificate_expiry_seconds{alice}", "60+0x60")],
            at: "11m",
            fires: &[alice("-10m 0s")],
        },
        Case {
            why: "a day is left",
            step: "1m",
            series: &[("cairn_tls_certificate_expiry_seconds{alice}", "86400+0x60")],
            at: "10m",
            fires: &[],
        },
        Case {
            why: "plain HTTP",
            step: "1m",
            series: &[("cairn_tls_certificate_expiry_seconds{alice}", "0+0x60")],
            at: "10m",
            fires: &[],
        },
    ],
};
