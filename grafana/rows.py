"""The rows of the dashboard and their panels, in the order in which an operator needs them during an incident."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, Panel

from grafana import queries
from grafana.style import (
    BAD,
    CAUSE_COLORS,
    CONCERN,
    GOOD,
    LOGIN,
    NEUTRAL,
    PHASE_COLORS,
    PING,
    PLANNED,
    REASON_COLORS,
    bars,
    colored,
    colored_each,
    columns,
    graph_panel,
    heat_panel,
    heat_query,
    limited,
    lines_by_endpoint,
    named,
    now,
    query,
    reasons,
    rows,
    stacked,
    steps,
    symlog,
    table_panel,
    timeline_panel,
    value_panel,
)
from monitor.model import Endpoint

PER_LOGIN = "10m"  # two logins at the default interval
PER_PING = "1m"  # two pings


def _now() -> Iterator[Builder[Panel]]:
    yield (
        value_panel(
            "Ping",
            "Can we ping? The outcome of the most recent ping: ok, or the reason of its failure. Without a valid token,"
            " the outcome is no_token: then check the login.",
            4,
        )
        .mappings(reasons())
        .thresholds(steps((None, BAD)))
        .with_target(now("A", queries.state(Endpoint.PING), "{{environment}}"))
    )
    yield (
        value_panel(
            "Login",
            "Can we log in? The outcome of the most recent login: ok, or the reason of its failure. While the"
            " credentials are rejected, logins are suppressed: see the row Tokens.",
            4,
        )
        .mappings(reasons())
        .thresholds(steps((None, BAD)))
        .with_target(now("A", queries.state(Endpoint.TOKEN), "{{environment}}"))
    )
    yield (
        value_panel(
            "Token left",
            "How long can we continue if no login succeeds? The remaining share of the lifetime of the current token,"
            " negative after its expiry. Red: less than a quarter, as for TigrTokenHeadroomLow. The row Tokens shows"
            " the seconds.",
            4,
        )
        .unit("percentunit")
        .decimals(0)
        .thresholds(steps((None, BAD), (queries.LOW_HEADROOM, GOOD)))
        .no_value("no token yet")
        .with_target(now("A", queries.token_left(), "{{environment}}"))
    )
    for name, endpoint in (("Ping", Endpoint.PING), ("Login", Endpoint.TOKEN)):
        yield (
            value_panel(
                f"{name} budget left",
                f"How much of the error budget of the {name.lower()} is left? The remaining share of the 0.5 % of 30"
                " days that may fail; below zero, the objective of 99.5 % is missed. Time without observation does not"
                " count.",
                4,
            )
            .unit("percentunit")
            .decimals(0)
            .no_value("no data for a day yet")
            .thresholds(steps((None, BAD), (0, CONCERN), (0.25, GOOD)))
            .with_target(now("A", queries.lowest(queries.BUDGET, endpoint), "{{environment}}"))
        )
    yield (
        value_panel(
            "Monitor",
            "Is the monitor itself up? It is if Prometheus can scrape it. If not, all other values are old or missing.",
            4,
        )
        .mappings(named({"0": ("down", BAD), "1": ("up", GOOD)}))
        .thresholds(steps((None, BAD), (1, GOOD)))
        .with_target(now("A", f"min by (instance) (up{{{queries.INSTANCE}}})", "{{instance}}"))
    )
    yield (
        table_panel("Firing alerts", "Which alerts fire? Every firing alert, in its most recent state.", 16, 9)
        .with_target(rows("A", queries.firing()))
        .with_transformation(columns("severity", "alertname", "environment", "endpoint", "instance"))
        .override_by_name(
            "severity",
            [
                DynamicConfigValue(
                    id_val="mappings", value=named({"critical": ("critical", BAD), "warning": ("warning", CONCERN)})
                ),
                DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
                DynamicConfigValue(id_val="custom.width", value=90),
            ],
        )
    )
    for name, endpoint in (("Ping", Endpoint.PING), ("Login", Endpoint.TOKEN)):
        yield (
            value_panel(
                f"{name} down for",
                f"Since when does the {name.lower()} fail? The time since the first failure in a row.",
                4,
            )
            .height(9)
            .unit("dtdurations")
            .mappings(named({"0": ("up", GOOD)}))
            .thresholds(steps((None, BAD)))
            .with_target(now("A", queries.down_for(endpoint), "{{environment}}"))
        )


def _availability() -> Iterator[Builder[Panel]]:
    yield (
        timeline_panel(
            "Outcome by reason",
            "Which requests failed, when and why? Green is success. Red shades are credentials, permissions and load,"
            " orange shades the network, yellow shades TLS, blue shades the vendor's server; purple is a fault of the"
            " monitor.",
            16,
        )
        .mappings(reasons())
        .with_target(query("A", queries.state(Endpoint.PING), "{{environment}} ping"))
        .with_target(query("B", queries.state(Endpoint.TOKEN), "{{environment}} login"))
    )
    yield (
        timeline_panel(
            "Client API host",
            "Does the host of the Client API respond? The monitor tests it with or without a token, so its state is"
            " known while logins fail. Open: the API accepts unauthenticated requests.",
            10,
        )
        .mappings(
            named({"0": ("no response", BAD), "1": ("responds", GOOD), "2": ("open without token", "dark-purple")})
        )
        .with_target(query("A", queries.api_host(), "{{environment}}"))
    )
    yield (
        timeline_panel(
            "Token host",
            "Does the token host accept connections? The most recent connection, TLS included, of a login or of the"
            " check between logins.",
            10,
        )
        .mappings(named({"0": ("no connection", BAD), "1": ("accepts", GOOD)}))
        .with_target(query("A", queries.lowest("tigr_token_host_reachable"), "{{environment}}"))
    )
    yield (
        timeline_panel(
            "Planned maintenance",
            "Is a failure part of planned maintenance? During a window, no alert about the environment fires, and its"
            " time does not count for the objective.",
            10,
        )
        .mappings(named({"0": ("none", NEUTRAL), "1": ("maintenance", PLANNED)}))
        .with_target(query("A", queries.highest("tigr_maintenance"), "{{environment}}"))
    )
    requests = graph_panel(
        "Requests by outcome",
        "How many requests failed, and for which reasons? All requests to both hosts; success is green, each reason has"
        " its own colour.",
        12,
    )
    yield colored_each(bars(requests, PER_PING), {"success": GOOD, **REASON_COLORS}).with_target(
        query("A", queries.counted("tigr_requests_total", "outcome"), "{{outcome}}")
    )
    failures = graph_panel(
        "Failures in a row",
        "Is it a single failure or an outage? Failures since the last success; alerts need"
        f" {queries.FAILED_PINGS} pings or {queries.FAILED_LOGINS} logins.",
        12,
    )
    yield (
        lines_by_endpoint(
            limited(failures, (None, GOOD), (queries.FAILED_LOGINS, CONCERN), (queries.FAILED_PINGS, BAD))
        )
        .min(0)
        .decimals(0)
        .unit("short")
        .with_target(query("A", queries.highest("tigr_consecutive_failures", Endpoint.PING), "{{environment}} ping"))
        .with_target(query("B", queries.highest("tigr_consecutive_failures", Endpoint.TOKEN), "{{environment}} login"))
    )
    incidents = graph_panel(
        "Incidents by reason",
        "How many outages were there, and for which reasons? An incident begins with three failed pings or two failed"
        " logins in a row, or with a rejection of the credentials; its reason is that of the first failure.",
        24,
    )
    yield colored_each(bars(incidents, PER_PING), REASON_COLORS).with_target(
        query("A", queries.counted("tigr_incidents_total", "reason"), "{{reason}}")
    )
    for name, endpoint in (("Ping", Endpoint.PING), ("Login", Endpoint.TOKEN)):
        word = name.lower()
        burn = graph_panel(
            f"{name} burn rate",
            f"How fast is the error budget of the {word} used up? At 1 it lasts exactly 30 days. Fast burn: above"
            f" {queries.FAST_BURN} over 1 h and over 5 min. Slow burn: above {queries.SLOW_BURN:.0f} over 6 h and over"
            f" 30 min. Overspent: above {queries.OVERSPENT:.0f} over 3 days and over 6 h.",
            8,
        )
        limits = ((queries.OVERSPENT, CONCERN), (queries.SLOW_BURN, CONCERN), (queries.FAST_BURN, BAD))
        panel = limited(burn, (None, GOOD), *limits)
        panel = panel.min(0).unit("short").height(16)
        for ref, (window, recorded) in zip("ABCDE", queries.BURN.items(), strict=True):
            panel = panel.with_target(
                query(ref, queries.highest(recorded, endpoint), f"{{{{environment}}}} {word} {window}")
            )
        yield panel
    objective = value_panel(
        "30 days",
        "Do we meet the objective? The share of the observed time of the past 30 days without failure; the objective is"
        " 99.5 %.",
        8,
    )
    yield (
        objective.unit("percentunit")
        .no_value("no data for a day yet")
        .decimals(3)
        .height(16)
        .thresholds(steps((None, BAD), (queries.OBJECTIVE, GOOD)))
        .with_target(now("A", queries.lowest(queries.AVAILABILITY, Endpoint.PING), "{{environment}} ping"))
        .with_target(now("B", queries.lowest(queries.AVAILABILITY, Endpoint.TOKEN), "{{environment}} login"))
    )


def _latency() -> Iterator[Builder[Panel]]:
    for name, endpoint, window, period, shades in (
        ("Ping", Endpoint.PING, "5m", "5 min", PING),
        ("Login", Endpoint.TOKEN, "1h", "1 h, because shorter windows contain few logins", LOGIN),
    ):
        word = name.lower()
        graph = graph_panel(
            f"{name} latency",
            f"Has the {word} become slow? The time from the start of the DNS lookup to the last byte, of successful"
            f" requests: median and 90th percentile, over {period}. Above {queries.SLOW:g} s, the median"
            " fires an alert. A gap means that no request succeeded.",
            12,
        )
        panel = lines_by_endpoint(limited(graph, (None, GOOD), (queries.SLOW, CONCERN))).unit("s").min(0)
        for ref, share, percentile, shade in (("A", 0.5, "p50", shades), ("B", 0.9, "p90", f"light-{shades}")):
            panel = panel.with_target(
                query(ref, queries.quantile(share, endpoint, window), f"{{{{environment}}}} {word} {percentile}")
            ).with_override(*colored(f" {word} {percentile}$", shade))
        yield panel
    for name, endpoint, per in (("Ping", Endpoint.PING, PER_PING), ("Login", Endpoint.TOKEN, PER_LOGIN)):
        heat = heat_panel(
            f"{name} durations",
            f"Do all {name.lower()}s take about the same time? The number of requests by duration, over all selected"
            " environments.",
            12,
        )
        yield heat.interval(per).with_target(heat_query("A", queries.per_bucket(endpoint)))
    for name, endpoint in (("Ping", Endpoint.PING), ("Login", Endpoint.TOKEN)):
        graph = graph_panel(
            f"{name} phases, $environment",
            f"Which phase of the {name.lower()} takes how long? The phases of the most recent request, stacked. A"
            " phase that the request did not reach is missing.",
            24,
        )
        yield (
            colored_each(stacked(graph), PHASE_COLORS)
            .unit("s")
            .min(0)
            .repeat("environment")
            .repeat_direction("h")
            .max_per_row(2)
            .with_target(query("A", queries.phases(endpoint), "{{phase}}"))
        )


def _tokens() -> Iterator[Builder[Panel]]:
    headroom = graph_panel(
        "Headroom and lifetime",
        "Is the token renewed in time, and has its lifetime changed? The headroom falls until a login succeeds; the"
        " lifetime is that of the most recent token.",
        12,
    )
    yield (
        limited(headroom, (None, BAD), (0, GOOD))
        .unit("s")
        .with_target(query("A", queries.lowest("tigr_token_expiry_headroom_seconds"), "{{environment}} headroom"))
        .with_target(query("B", queries.lowest("tigr_token_lifetime_seconds"), "{{environment}} lifetime"))
    )
    renewals = graph_panel(
        "Logins by cause",
        "Why do we log in? Scheduled is the normal cause; rejected means that the API refused a token before its"
        " expiry. A retry has the cause of the first attempt.",
        12,
    )
    yield colored_each(bars(renewals, PER_LOGIN), CAUSE_COLORS).with_target(
        query("A", queries.counted("tigr_token_renewals_total", "cause"), "{{cause}}")
    )
    unauthorized = graph_panel(
        "401 responses and rejected tokens",
        "Which host rejects us? A 401 to a login rejects the credentials, a 401 to a ping rejects the token. Rejected:"
        " the token had not expired by our clock (it was revoked, replaced by another client, or the keys changed).",
        12,
    )
    yield (
        lines_by_endpoint(bars(unauthorized, PER_PING))
        .with_override(*colored(" rejected$", CONCERN))
        .with_target(
            query(
                "A", queries.counted("tigr_unauthorized_total", "environment", Endpoint.TOKEN), "{{environment}} login"
            )
        )
        .with_target(
            query("B", queries.counted("tigr_unauthorized_total", "environment", Endpoint.PING), "{{environment}} ping")
        )
        .with_target(
            query("C", queries.counted("tigr_token_rejected_total", "environment"), "{{environment}} rejected")
        )
    )
    backoff = graph_panel(
        "Backoff",
        "When is the next attempt allowed? The seconds until then, on a logarithmic scale; 0 if nothing delays it."
        " Stopped: no login until the credentials change or an operator asks.",
        12,
    )
    yield (
        lines_by_endpoint(symlog(backoff))
        .unit("s")
        .min(0)
        .mappings(named({str(queries.STOPPED): ("stopped", BAD)}))
        .with_target(query("A", queries.backoff(Endpoint.TOKEN), "{{environment}} login"))
        .with_target(query("B", queries.backoff(Endpoint.PING), "{{environment}} ping"))
    )
    yield (
        timeline_panel(
            "Credentials",
            "Have our credentials been rejected? While they are, logins are suppressed so that the account is not"
            " locked: first for a pause, after the last attempt until the credentials change or an operator asks.",
            10,
        )
        .mappings(named({"0": ("not rejected", GOOD), "1": ("rejected, logins suppressed", BAD)}))
        .with_target(query("A", queries.highest("tigr_credentials_rejected"), "{{environment}}"))
    )


def _host() -> Iterator[Builder[Panel]]:
    yield (
        value_panel(
            "Certificates expire in",
            "When do the certificates of the hosts expire? The earliest in the chain; after a failed verification, that"
            " of the host.",
            6,
        )
        .height(16)
        .unit("s")
        .decimals(0)
        .thresholds(steps((None, BAD), (queries.DAYS_OF_CERTIFICATE, CONCERN), (queries.WEEKS_OF_CERTIFICATE, GOOD)))
        .with_target(now("A", queries.until_expiry(Endpoint.PING), "{{environment}} ping"))
        .with_target(now("B", queries.until_expiry(Endpoint.TOKEN), "{{environment}} login"))
    )
    clock = graph_panel(
        "Clock offset",
        "Do the clocks agree? The server's clock minus ours, accurate to half a round trip. Beyond 30 s, expiry times"
        " are unreliable.",
        10,
    )
    yield (
        limited(clock, (None, BAD), (-queries.CLOCK_OFFSET, GOOD), (queries.CLOCK_OFFSET, BAD))
        .unit("s")
        .height(16)
        .with_target(query("A", queries.worst("tigr_clock_offset_seconds"), "{{environment}}"))
    )
    yield (
        table_panel(
            "TLS version",
            "Which TLS version was negotiated? The version of the most recent handshake with each host.",
            8,
            16,
        )
        .with_target(rows("A", f"max by (environment, endpoint, version) ({queries.series('tigr_tls_info')})"))
        .with_transformation(columns("environment", "endpoint", "version"))
    )
    yield (
        table_panel("Hosts", "Which hosts are monitored? The hosts of the configured URLs.", 24, 8)
        .with_target(
            rows("A", f"max by (environment, token_host, api_host) ({queries.series('tigr_environment_info')})")
        )
        .with_transformation(columns("environment", "token_host", "api_host"))
    )


def _monitor() -> Iterator[Builder[Panel]]:
    age = graph_panel(
        "Age of the data",
        "Are the data current? The time since the most recent run began, as a share of the limit of TigrDataStale:"
        " three intervals and one minute. Above 100 %, and without a backoff, the data are stale although"
        " scrapes succeed.",
        8,
    )
    yield (
        lines_by_endpoint(limited(age, (None, GOOD), (1, BAD)))
        .unit("percentunit")
        .min(0)
        .with_target(query("A", queries.age(Endpoint.PING), "{{environment}} ping"))
        .with_target(query("B", queries.age(Endpoint.TOKEN), "{{environment}} login"))
    )
    delay = graph_panel(
        "Delay",
        f"Do runs start on time? The delay of the most recent run. Above {queries.LATE_RUN:g} s, the machine is"
        " overloaded.",
        8,
    )
    yield (
        lines_by_endpoint(limited(delay, (None, GOOD), (queries.LATE_RUN, CONCERN)))
        .unit("s")
        .min(0)
        .with_target(query("A", queries.highest("tigr_schedule_delay_seconds", Endpoint.PING), "{{environment}} ping"))
        .with_target(
            query("B", queries.highest("tigr_schedule_delay_seconds", Endpoint.TOKEN), "{{environment}} login")
        )
    )
    missed = graph_panel(
        "Missed runs", "Were runs skipped? The run before had not ended, or the machine was suspended.", 8
    )
    metric = "tigr_schedule_missed_total"
    yield (
        lines_by_endpoint(bars(missed, PER_PING))
        .with_target(query("A", queries.counted(metric, "environment", Endpoint.PING), "{{environment}} ping"))
        .with_target(query("B", queries.counted(metric, "environment", Endpoint.TOKEN), "{{environment}} login"))
    )
    yield (
        graph_panel("Memory", "Does the memory use of the monitor grow? The resident memory of its process.", 8)
        .unit("bytes")
        .min(0)
        .with_target(query("A", queries.monitor("process_resident_memory_bytes"), "{{instance}}"))
    )
    yield (
        graph_panel("Scrape time", "Does the monitor respond quickly? The duration of each scrape.", 8)
        .unit("s")
        .min(0)
        .with_target(query("A", queries.monitor("scrape_duration_seconds"), "{{instance}}"))
    )
    yield (
        value_panel("Settings", "Are the current settings in use? They are if the most recent reload succeeded.", 4)
        .height(8)
        .mappings(named({"0": ("reload failed", BAD), "1": ("in use", GOOD)}))
        .thresholds(steps((None, BAD), (1, GOOD)))
        .with_target(
            now("A", f"min by (instance) (tigr_config_last_reload_successful{{{queries.INSTANCE}}})", "{{instance}}")
        )
    )
    yield (
        table_panel("Version", "Which version runs? The versions of the monitor and of Python.", 4, 8)
        .with_target(rows("A", f"max by (instance, version, python) (tigr_build_info{{{queries.INSTANCE}}})"))
        .with_transformation(columns("version", "python", "instance"))
    )


ALL: Mapping[str, Callable[[], Iterator[Builder[Panel]]]] = {
    "Now": _now,
    "Availability": _availability,
    "Latency": _latency,
    "Tokens": _tokens,
    "Host": _host,
    "The monitor itself": _monitor,
}
