"""The rows of the dashboard and their panels, in the order in which somebody who was woken up asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, Panel

from grafana import queries as ask
from grafana.style import (
    BAD,
    CAUSE_COLORS,
    CONCERN,
    GOOD,
    LOGIN,
    PHASE_COLORS,
    PING,
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
DAY = 86400


def _now() -> Iterator[Builder[Panel]]:
    yield (
        value_panel(
            "Ping",
            "Can we ping? The newest ping's outcome: ok, or the reason of its failure. Without a valid token it is"
            " no_token: then look at the login.",
            4,
        )
        .mappings(reasons())
        .thresholds(steps((None, BAD)))
        .with_target(now("A", ask.state(Endpoint.PING), "{{environment}}"))
    )
    yield (
        value_panel(
            "Login",
            "Can we log in? The newest login's outcome: ok, or the reason of its failure. While the credentials are"
            " rejected, logins are suppressed: see the row Tokens.",
            4,
        )
        .mappings(reasons())
        .thresholds(steps((None, BAD)))
        .with_target(now("A", ask.state(Endpoint.TOKEN), "{{environment}}"))
    )
    yield (
        value_panel(
            "Token left",
            "How long can we go on if no login succeeds? Time until the token in hand expires, negative once it has."
            " Orange: under a minute, later than a renewal should come.",
            4,
        )
        .unit("s")
        .decimals(0)
        .thresholds(steps((None, BAD), (0, CONCERN), (60, GOOD)))
        .no_value("no token yet")
        .with_target(now("A", ask.lowest("tigr_token_expiry_headroom_seconds"), "{{environment}}"))
    )
    yield (
        value_panel(
            "Error budget left",
            "How much more failing can we afford? What is left of the 0.5 % of 30 days that may fail; below zero the"
            " objective of 99.5 % is missed. Time that nobody observed does not count.",
            4,
        )
        .unit("percentunit")
        .decimals(0)
        .thresholds(steps((None, BAD), (0, CONCERN), (0.25, GOOD)))
        .with_target(now("A", ask.lowest(ask.BUDGET, Endpoint.TOKEN), "{{environment}} login"))
        .with_target(now("B", ask.lowest(ask.BUDGET, Endpoint.PING), "{{environment}} ping"))
    )
    yield (
        table_panel("Firing alerts", "What do the alerts say? Every alert that fires, the newest state.", 5, 7)
        .with_target(rows("A", ask.firing()))
        .with_transformation(columns("severity", "alertname", "environment"))
        .override_by_name(
            "severity",
            [
                DynamicConfigValue(
                    id_val="mappings", value=named({"critical": ("critical", BAD), "warning": ("warning", CONCERN)})
                ),
                DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
            ],
        )
    )
    yield (
        value_panel(
            "Monitor",
            "Is the monitor itself up? Whether Prometheus can scrape it. If not, everything else here is old or"
            " missing.",
            3,
        )
        .mappings(named({"0": ("down", BAD), "1": ("up", GOOD)}))
        .thresholds(steps((None, BAD), (1, GOOD)))
        .with_target(now("A", f"min by (instance) (up{{{ask.INSTANCE}}})", "{{instance}}"))
    )


def _availability() -> Iterator[Builder[Panel]]:
    yield (
        timeline_panel(
            "Outcome by reason",
            "What failed when, and why? Green is well; red shades concern credentials, admission and load, orange"
            " ones the network, yellow ones TLS, blue ones the vendor's server; purple is a fault of the monitor.",
            8,
        )
        .mappings(reasons())
        .with_target(query("A", ask.state(Endpoint.PING), "{{environment}} ping"))
        .with_target(query("B", ask.state(Endpoint.TOKEN), "{{environment}} login"))
    )
    yield (
        timeline_panel(
            "Client API host",
            "Does the Client API's host answer at all? With or without a token, so that its state is known while"
            " logins fail. Open: it answered 200 to a question without a token.",
            5,
        )
        .mappings(
            named({"0": ("no answer", BAD), "1": ("answers", GOOD), "2": ("open, no token asked", "dark-purple")})
        )
        .with_target(query("A", ask.api_host(), "{{environment}}"))
    )
    requests = graph_panel(
        "Requests by outcome",
        "How many requests failed, and of what? All requests to both hosts; success is green, the reasons have their"
        " colours.",
        12,
    )
    yield colored_each(bars(requests, PER_PING), {"success": GOOD, **REASON_COLORS}).with_target(
        query("A", ask.counted("tigr_requests_total", "outcome"), "{{outcome}}")
    )
    failures = graph_panel(
        "Failures in a row",
        "Is it a blip or an outage? Failures since the last success; an alert counts on 3 pings or 2 logins.",
        12,
    )
    yield (
        lines_by_endpoint(limited(failures, (None, GOOD), (2, CONCERN), (3, BAD)))
        .min(0)
        .decimals(0)
        .unit("short")
        .with_target(query("A", ask.highest("tigr_consecutive_failures", Endpoint.PING), "{{environment}} ping"))
        .with_target(query("B", ask.highest("tigr_consecutive_failures", Endpoint.TOKEN), "{{environment}} login"))
    )
    for name, endpoint in (("Ping", Endpoint.PING), ("Login", Endpoint.TOKEN)):
        word = name.lower()
        burn = graph_panel(
            f"{name} burn rate",
            f"How fast is the error budget of the {word} spent? At 1 it lasts exactly 30 days. Fast burn: above"
            f" {ask.FAST_BURN} over 1 h and over 5 min. Slow burn: above {ask.SLOW_BURN:.0f} over 6 h and over 30 min.",
            8,
        )
        panel = limited(burn, (None, GOOD), (ask.SLOW_BURN, CONCERN), (ask.FAST_BURN, BAD)).min(0).unit("short")
        for ref, (window, recorded) in zip("ABCD", ask.BURN.items(), strict=True):
            panel = panel.with_target(
                query(ref, ask.highest(recorded, endpoint), f"{{{{environment}}}} {word} {window}")
            )
        yield panel
    objective = value_panel(
        "30 days",
        "Do we meet the objective? Share of the observed time of the past 30 days that was well; the objective is"
        " 99.5 %.",
        8,
    )
    yield (
        objective.unit("percentunit")
        .decimals(3)
        .height(8)
        .thresholds(steps((None, BAD), (ask.OBJECTIVE, GOOD)))
        .with_target(now("A", ask.lowest(ask.AVAILABILITY, Endpoint.PING), "{{environment}} ping"))
        .with_target(now("B", ask.lowest(ask.AVAILABILITY, Endpoint.TOKEN), "{{environment}} login"))
    )


def _latency() -> Iterator[Builder[Panel]]:
    for name, endpoint, window, told, shades in (
        ("Ping", Endpoint.PING, "5m", "5 min", PING),
        ("Login", Endpoint.TOKEN, "1h", "1 h, because few logins happen in less", LOGIN),
    ):
        word = name.lower()
        graph = graph_panel(
            f"{name} latency",
            f"Has the {word} become slow? Time from name resolution to the last byte, of requests that did their job:"
            f" the median and the slowest tenth, over {told}. A gap: none did its job.",
            12,
        )
        panel = lines_by_endpoint(graph).unit("s").min(0)
        for ref, share, percentile, shade in (("A", 0.5, "p50", shades), ("B", 0.9, "p90", f"light-{shades}")):
            panel = panel.with_target(
                query(ref, ask.quantile(share, endpoint, window), f"{{{{environment}}}} {word} {percentile}")
            ).with_override(*colored(f" {word} {percentile}$", shade))
        yield panel
    for name, endpoint, per in (("Ping", Endpoint.PING, PER_PING), ("Login", Endpoint.TOKEN, PER_LOGIN)):
        heat = heat_panel(
            f"{name} durations",
            f"Are all {name.lower()}s alike, or are there two kinds? How many took how long, of the selected"
            " environments together.",
            12,
        )
        yield heat.interval(per).with_target(heat_query("A", ask.per_bucket(endpoint)))
    for name, endpoint in (("Ping", Endpoint.PING), ("Login", Endpoint.TOKEN)):
        graph = graph_panel(
            f"{name} phases, $environment",
            f"Where does the {name.lower()}'s time go? The newest request's phases, one upon the other. A phase that"
            " was not reached is missing.",
            24,
        )
        yield (
            colored_each(stacked(graph), PHASE_COLORS)
            .unit("s")
            .min(0)
            .repeat("environment")
            .repeat_direction("h")
            .max_per_row(2)
            .with_target(query("A", ask.phases(endpoint), "{{phase}}"))
        )


def _tokens() -> Iterator[Builder[Panel]]:
    headroom = graph_panel(
        "Headroom and lifetime",
        "Is the token renewed in time, and has its lifetime changed? The headroom falls until a login succeeds; the"
        " lifetime is what the newest token was granted with.",
        12,
    )
    yield (
        limited(headroom, (None, BAD), (0, GOOD))
        .unit("s")
        .with_target(query("A", ask.lowest("tigr_token_expiry_headroom_seconds"), "{{environment}} headroom"))
        .with_target(query("B", ask.lowest("tigr_token_lifetime_seconds"), "{{environment}} lifetime"))
    )
    renewals = graph_panel(
        "Logins by cause",
        "Why do we log in? Scheduled is the routine; rejected means that a token was refused before its time; a retry"
        " keeps its cause.",
        12,
    )
    yield colored_each(bars(renewals, PER_LOGIN), CAUSE_COLORS).with_target(
        query("A", ask.counted("tigr_token_renewals_total", "cause"), "{{cause}}")
    )
    answers = graph_panel(
        "401 answers and rejected tokens",
        "Who refuses us? 401 from the login: the credentials. 401 from the ping: the token; rejected, if it had not"
        " expired by our clock: revoked, another client, or rotated keys.",
        12,
    )
    yield (
        lines_by_endpoint(bars(answers, PER_PING))
        .with_override(*colored(" rejected$", CONCERN))
        .with_target(
            query("A", ask.counted("tigr_unauthorized_total", "environment", Endpoint.TOKEN), "{{environment}} login")
        )
        .with_target(
            query("B", ask.counted("tigr_unauthorized_total", "environment", Endpoint.PING), "{{environment}} ping")
        )
        .with_target(query("C", ask.counted("tigr_token_rejected_total", "environment"), "{{environment}} rejected"))
    )
    backoff = graph_panel(
        "Backoff",
        "When is the next attempt allowed? Seconds until then, on a logarithmic scale; 0 if nothing delays it. Stopped:"
        " no login until the credentials change or an operator asks.",
        12,
    )
    yield (
        lines_by_endpoint(symlog(backoff))
        .unit("s")
        .min(0)
        .mappings(named({str(ask.STOPPED): ("stopped", BAD)}))
        .with_target(query("A", ask.backoff(Endpoint.TOKEN), "{{environment}} login"))
        .with_target(query("B", ask.backoff(Endpoint.PING), "{{environment}} ping"))
    )
    yield (
        timeline_panel(
            "Credentials",
            "Have our credentials been rejected? While they are, logins are suppressed so that the account is not"
            " locked: first for a pause, after the last attempt until the credentials change or an operator asks.",
            5,
        )
        .mappings(named({"0": ("not rejected", GOOD), "1": ("rejected, logins suppressed", BAD)}))
        .with_target(query("A", ask.highest("tigr_credentials_rejected"), "{{environment}}"))
    )


def _host() -> Iterator[Builder[Panel]]:
    expiry = "tigr_certificate_expiry_timestamp_seconds"
    yield (
        value_panel(
            "Certificates expire in",
            "How long are the hosts' certificates good? As last seen, also when verification failed because of it.",
            6,
        )
        .unit("s")
        .decimals(0)
        .thresholds(steps((None, BAD), (7 * DAY, CONCERN), (21 * DAY, GOOD)))
        .with_target(now("A", ask.until(expiry, Endpoint.PING), "{{environment}} ping"))
        .with_target(now("B", ask.until(expiry, Endpoint.TOKEN), "{{environment}} login"))
    )
    clock = graph_panel(
        "Clock offset",
        "Do our clocks agree? The server's clock minus ours, good to half a round trip. Beyond 30 s expiry is"
        " misjudged.",
        10,
    )
    yield (
        limited(clock, (None, BAD), (-30, GOOD), (30, BAD))
        .unit("s")
        .height(7)
        .with_target(query("A", ask.worst("tigr_clock_offset_seconds"), "{{environment}}"))
    )
    yield (
        table_panel("TLS version", "Which TLS version was negotiated? Of the newest handshake with each host.", 8, 7)
        .with_target(rows("A", f"max by (environment, endpoint, version) ({ask.series('tigr_tls_info')})"))
        .with_transformation(columns("environment", "endpoint", "version"))
    )
    yield (
        table_panel("Hosts", "Which hosts are watched? As configured.", 24, 5)
        .with_target(rows("A", f"max by (environment, token_host, api_host) ({ask.series('tigr_environment_info')})"))
        .with_transformation(columns("environment", "token_host", "api_host"))
    )


def _monitor() -> Iterator[Builder[Panel]]:
    age = graph_panel(
        "Turns behind",
        "Is what we see fresh? Intervals since the newest turn began. Above 3, with nothing held back, the data is"
        " stale although scrapes succeed.",
        8,
    )
    yield (
        lines_by_endpoint(limited(age, (None, GOOD), (3, BAD)))
        .unit("short")
        .min(0)
        .with_target(query("A", ask.turns_behind(Endpoint.PING), "{{environment}} ping"))
        .with_target(query("B", ask.turns_behind(Endpoint.TOKEN), "{{environment}} login"))
    )
    delay = graph_panel("Delay", "Do turns start on time? How late the newest one started.", 8)
    yield (
        lines_by_endpoint(delay)
        .unit("s")
        .min(0)
        .with_target(query("A", ask.highest("tigr_schedule_delay_seconds", Endpoint.PING), "{{environment}} ping"))
        .with_target(query("B", ask.highest("tigr_schedule_delay_seconds", Endpoint.TOKEN), "{{environment}} login"))
    )
    missed = graph_panel("Missed turns", "Did turns not happen? The one before had not ended, or the machine slept.", 8)
    metric = "tigr_schedule_missed_total"
    yield (
        lines_by_endpoint(bars(missed, PER_PING))
        .with_target(query("A", ask.counted(metric, "environment", Endpoint.PING), "{{environment}} ping"))
        .with_target(query("B", ask.counted(metric, "environment", Endpoint.TOKEN), "{{environment}} login"))
    )
    yield (
        graph_panel("Memory", "Does the monitor grow? Resident memory of its process.", 8)
        .unit("bytes")
        .min(0)
        .with_target(query("A", ask.monitor("process_resident_memory_bytes"), "{{instance}}"))
    )
    yield (
        graph_panel("Scrape time", "Does the monitor answer quickly? How long Prometheus waited for its metrics.", 8)
        .unit("s")
        .min(0)
        .with_target(query("A", ask.monitor("scrape_duration_seconds"), "{{instance}}"))
    )
    yield (
        value_panel("Settings", "Are the settings on disk those in use? Whether the newest reload succeeded.", 4)
        .height(8)
        .mappings(named({"0": ("reload failed", BAD), "1": ("in use", GOOD)}))
        .thresholds(steps((None, BAD), (1, GOOD)))
        .with_target(
            now("A", f"min by (instance) (tigr_config_last_reload_successful{{{ask.INSTANCE}}})", "{{instance}}")
        )
    )
    yield (
        table_panel("Version", "Which version runs? Of the monitor and of its Python.", 4, 8)
        .with_target(rows("A", f"max by (instance, version, python) (tigr_build_info{{{ask.INSTANCE}}})"))
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
