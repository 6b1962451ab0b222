//! Screens of federations that were made up, as golden files: `screens/NAME.golden`, the text and then
//! what is in colour. `UPDATE_GOLDENFILES=1` writes them anew; read the difference. And what the looks
//! that led there were worked out to.

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use proptest::prelude::*;
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    style::{Color, Modifier},
};
use serde_json::Value;

use super::{
    ask::{Admin, Answer, Heard, Members, Moment, Status},
    figures::Figures,
    history::History,
    no_quorum, screen,
    screen::Choices,
    table,
    view::{Row, State, View, view},
};

const CHAIN: &str = "c0ffee5eed0000000000000000000000000000000000000000000000000000aa";

/// A federation that stores a block a second, of ten transactions of which one is refused.
struct World {
    history: History,
    admins: Vec<Admin>,
    members: Members,
    second: u64,
}

/// What is different about a validator.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    Silent(&'static str),
    /// It has this many blocks less, and gets two a second.
    Lagging(u64),
    /// It is so many blocks behind, and stays there.
    Stuck(u64),
    Mute,
    /// Its metrics are no page.
    Unread,
    /// It has been there for an hour, and counts from nothing.
    Restarted,
}

impl World {
    fn new(validators: usize) -> Self {
        let power = (0..validators).map(|at| (format!("validator-{at}"), 1)).collect();
        let admin = |at| format!("127.0.0.1:{}", 9986 + 10 * at).parse().unwrap();
        Self {
            history: History::new(validators),
            admins: (0..validators).map(admin).collect(),
            members: Members { name: "demo".to_owned(), chain_id: CHAIN.to_owned(), power },
            second: 0,
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            since: Duration::from_secs(self.second),
            unix_ms: 1_700_000_000_000 + 1000 * self.second,
        }
    }

    /// Lets seconds pass, with a look in each; whoever is not named has no trouble.
    fn runs(&mut self, seconds: u64, troubles: &[(usize, Trouble)]) -> &mut Self {
        for _ in 0..seconds {
            self.second += 1;
            self.history.round();
            for at in 0..self.admins.len() {
                let trouble = troubles.iter().find(|(who, _)| *who == at).map(|(_, it)| *it);
                let answer = self.answer(at, trouble, troubles);
                self.history.take(at, answer);
            }
        }
        self
    }

    fn answer(&self, at: usize, trouble: Option<Trouble>, all: &[(usize, Trouble)]) -> Answer {
        let count = self.admins.len();
        let gone =
            |who: usize| all.iter().any(|(at, it)| *at == who && matches!(it, Trouble::Silent(_)));
        let alive = (0..count).filter(|who| !gone(*who)).count();
        let quorum = 3 * alive > 2 * count;
        let best = 1000 + self.second;
        let height = match trouble {
            Some(Trouble::Silent(why)) => return Err(why.to_owned()),
            Some(Trouble::Lagging(blocks)) => best - blocks + self.second,
            Some(Trouble::Stuck(blocks)) => 1001 - blocks,
            _ => best,
        };
        let behind = best - height;
        let status = Status {
            phase: "running".to_owned(),
            chain_id: CHAIN.to_owned(),
            validator: format!("validator-{at}"),
            height,
            voting: trouble != Some(Trouble::Mute),
            not_voting_because: (trouble == Some(Trouble::Mute))
                .then(|| "its consensus key is not the one that the genesis names".to_owned()),
            ready: behind <= 3,
            not_ready_because: (behind > 3)
                .then(|| format!("{behind} blocks behind the best peer")),
            peers: (0..count).filter(|who| *who != at && !gone(*who)).map(name).collect(),
            best_peer: best,
            quorum,
            no_quorum_because: (!quorum).then(|| format!("{alive} of {count} are within reach")),
            leads: at
                == (0..count).find(|who| *who >= 2.min(count - 1) && !gone(*who)).unwrap_or(0),
            version: "0.1.0".to_owned(),
            ..Status::default()
        };
        let figures = match trouble {
            Some(Trouble::Unread) => Figures::read("cairn_height"),
            _ => Figures::read(&self.page(at, height, trouble == Some(Trouble::Restarted), all)),
        };
        let figures = figures.map_err(|fault| fault.to_string());
        let members = Some(self.members.clone());
        let at = self.moment();
        Ok(Heard { asked: at.since, at, status, figures, members })
    }

    /// Its metrics, in Prometheus's words.
    fn page(&self, at: usize, height: u64, restarted: bool, all: &[(usize, Trouble)]) -> String {
        let blocks = if restarted { self.second } else { height };
        let mut page = format!(
            "# TYPE cairn_height gauge\ncairn_height {height}\n\
             cairn_committed_transactions_total {}\n\
             cairn_refused_transactions_total{{code=\"DOUBLE_SPEND\"}} {}\n\
             cairn_http_requests_total{{route=\"v1/transactions\",status=\"202\"}} {}\n\
             cairn_block_transactions_bucket{{le=\"+Inf\"}} {blocks}\n\
             cairn_block_transactions_sum {}\ncairn_block_transactions_count {blocks}\n\
             cairn_data_free_bytes {}\ncairn_data_size_bytes 50000000000\n\
             cairn_quorum_margin {}\nprocess_resident_memory_bytes {}\n\
             process_start_time_seconds {}\n",
            9 * blocks,
            blocks + 2 * self.second,
            (at as u64 + 1) * 12 * blocks,
            10 * blocks,
            31_500_000_000_u64 - 1000 * height,
            self.admins.len().saturating_sub(all.len()) / 3,
            124_000_000 + at * 1_000_000,
            if restarted { 1_700_000_000 } else { 1_600_000_000 },
        );
        for (name, bound, sum) in [
            ("cairn_block_interval_seconds", "1", blocks as f64),
            ("cairn_commit_latency_seconds", "0.5", blocks as f64 / 4.0),
            ("cairn_fsync_seconds", "0.0025", blocks as f64 / 500.0),
            ("cairn_append_seconds", "0.005", blocks as f64 / 300.0),
        ] {
            write!(
                page,
                "{name}_bucket{{le=\"{bound}\"}} {blocks}\n{name}_bucket{{le=\"+Inf\"}} {blocks}\n\
                 {name}_sum {sum}\n{name}_count {blocks}\n"
            )
            .unwrap();
        }
        let silent = all.iter().filter(|(_, trouble)| matches!(trouble, Trouble::Silent(_)));
        for (who, _) in silent {
            let missed = self.second.saturating_sub(12);
            writeln!(page, "cairn_votes_missing_total{{validator=\"{}\"}} {missed}", name(*who))
                .unwrap();
        }
        page
    }

    fn view(&self) -> View {
        view(&self.history, &self.admins, self.moment())
    }
}

fn name(at: usize) -> String {
    format!("validator-{at}")
}

/// Of whom nothing but its status is known.
fn says(status: Status) -> Heard {
    let (asked, at) = (Duration::ZERO, Moment::default());
    Heard { asked, at, status, figures: Ok(Figures::default()), members: None }
}

/// A federation that has run for some seconds, with these troubles in the last six.
fn after(validators: usize, troubles: &[(usize, Trouble)]) -> View {
    let mut world = World::new(validators);
    world.runs(12, &[]);
    world.runs(6, troubles);
    world.view()
}

fn choices() -> Choices {
    Choices { colours: true, every: "1".to_owned(), ..Choices::default() }
}

fn drawn(view: &View, choices: &Choices, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| {
        screen::draw(view, choices, frame.area(), frame.buffer_mut());
    };
    terminal.draw(draw).unwrap().buffer.clone()
}

/// Its text, and what stands in a colour or style of its own.
fn told(buffer: &Buffer) -> String {
    let mut text = String::new();
    let mut styled: Vec<(&str, String)> = Vec::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut before = "";
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            line.push_str(cell.symbol());
            let style = match (cell.fg, cell.modifier) {
                (Color::Red, _) => "red",
                (Color::Yellow, _) => "yellow",
                (_, modifier) if modifier.contains(Modifier::BOLD) => "bold",
                _ => "",
            };
            match styled.last_mut() {
                _ if style.is_empty() => {}
                Some((_, run)) if before == style => run.push_str(cell.symbol()),
                _ => styled.push((style, cell.symbol().to_owned())),
            }
            before = style;
        }
        writeln!(text, "|{}", line.trim_end()).unwrap();
    }
    for (style, run) in styled {
        writeln!(text, "{style}: {}", run.trim()).unwrap();
    }
    text
}

fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/cli/top/screens").join(name);
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let differs = text.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(text == expected, "{name} is stale, at {differs:?}: UPDATE_GOLDENFILES=1 writes it");
}

#[test]
fn screens_are_as_they_were_read_last() {
    let silent = Trouble::Silent("connection refused");
    let mut begun = World::new(4);
    begun.history = History::new(4);
    for at in 0..4 {
        let status = Status {
            phase: "running".to_owned(),
            chain_id: CHAIN.to_owned(),
            validator: name(at),
            voting: true,
            ready: true,
            quorum: true,
            ..Status::default()
        };
        begun.history.take(at, Ok(says(status)));
    }
    let many = [
        (3, Trouble::Silent("no answer within 2s")),
        (7, Trouble::Lagging(60)),
        (8, Trouble::Mute),
        (9, Trouble::Unread),
        (11, Trouble::Stuck(40)),
    ];
    let scrolled = Choices { scrolled: 17, help: true, ..choices() };
    let plain = Choices { colours: false, paused: true, ..choices() };
    #[rustfmt::skip]
    let table = [
        ("healthy",        after(4, &[]),                          choices(), 80, 24),
        ("healthy-wide",   after(4, &[]),                          choices(), 160, 40),
        ("one-silent",     after(4, &[(3, silent)]),               choices(), 80, 24),
        ("no-quorum",      after(4, &[(0, silent), (3, silent)]),  choices(), 80, 24),
        ("no-colour",      after(4, &[(0, silent), (1, Trouble::Lagging(60))]), plain.clone(), 80, 24),
        ("empty-chain",    begun.view(),                           choices(), 80, 24),
        ("nobody",         World::new(4).runs(1, &[(0, silent), (1, silent), (2, silent), (3, silent)]).view(), choices(), 80, 24),
        ("many",           after(31, &many),                       choices(), 80, 24),
        ("many-scrolled",  after(31, &many),                       scrolled,  80, 24),
        ("narrow",         after(4, &[(3, silent)]),               choices(), 40, 10),
        ("narrow-paused",  after(31, &many),                       plain,     40, 10),
    ];
    for (name, view, choices, width, height) in table {
        golden(&format!("{name}.golden"), &told(&drawn(&view, &choices, width, height)));
    }
}

#[test]
fn json_and_table_are_as_they_were_read_last() {
    let view = after(4, &[(3, Trouble::Silent("connection refused")), (1, Trouble::Unread)]);
    let json = serde_json::to_value(&view).unwrap();
    golden("once.json", &format!("{json:#}\n"));
    golden("once.txt", &table(&view));
    let unknown = serde_json::to_value(World::new(1).view()).unwrap();
    let names = |json: &Value| -> Vec<String> {
        let of = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        [of(json), of(&json["federation"]), of(&json["validators"][0])].concat()
    };
    assert_eq!(names(&unknown), names(&json), "what is not known is null, not left out");
}

#[test]
fn how_a_validator_is_stands_in_a_word() {
    #[rustfmt::skip]
    let table = [
        (None,                                      State::Voting,       None,                              "as it should be"),
        (Some(Trouble::Silent("connection refused")), State::NotAnswering, Some("connection refused"),      "gone"),
        (Some(Trouble::Lagging(60)),                State::CatchingUp,   Some("42 blocks behind the best peer"), "it gets blocks"),
        (Some(Trouble::Lagging(20)),                State::Voting,       None,                              "it was behind"),
        (Some(Trouble::Stuck(40)),                  State::NotReady,     Some("57 blocks behind the best peer"), "it gets none"),
        (Some(Trouble::Mute),                       State::Following,    Some("its consensus key is not the one that the genesis names"), "a key that nobody knows"),
        (Some(Trouble::Unread),                     State::Voting,       None,                              "its metrics are another matter"),
        (Some(Trouble::Restarted),                  State::Voting,       None,                              "another process"),
    ];
    for (trouble, state, because, why) in table {
        let troubles: Vec<_> = trouble.map(|trouble| (1, trouble)).into_iter().collect();
        let mut world = World::new(4);
        let view = world.runs(18, &troubles).view();
        let row = &view.validators[1];
        assert_eq!((row.state, row.because.as_deref()), (state, because), "{why}");
    }
}

#[test]
fn what_one_does_changes_nothing_for_the_federation() {
    let figures = |troubles: &[(usize, Trouble)]| after(4, troubles).federation;
    let healthy = figures(&[]);
    assert_eq!(healthy.committed_per_second, Some(9.0));
    assert_eq!(healthy.refused_per_second, Some(9.0), "one in each block, and two at each door");
    assert_eq!((healthy.blocks_per_second, healthy.block_interval_seconds), (Some(1.0), Some(1.0)));
    assert_eq!((healthy.height, healthy.leader.as_deref()), (Some(1018), Some("validator-2")));
    for trouble in [Trouble::Lagging(60), Trouble::Unread, Trouble::Restarted, Trouble::Stuck(9)] {
        let troubled = figures(&[(1, trouble)]);
        assert_eq!(troubled.committed_per_second, Some(9.0));
        assert_eq!((troubled.height, troubled.quorum), (Some(1018), Some(true)));
        assert!(troubled.quorum_answers);
    }
}

#[test]
fn what_is_stored_between_two_looks_makes_nobody_slow() {
    let mut world = World::new(2);
    let at = |since| Moment { since: Duration::from_millis(since), unix_ms: since };
    let mut look = |who: usize, asked: u64, height: u64, best_peer: u64| {
        let mut heard = world.answer(who, None, &[]).unwrap();
        (heard.asked, heard.at) = (at(asked).since, at(asked + 10));
        (heard.status.height, heard.status.best_peer) = (height, best_peer);
        world.history.take(who, Ok(heard));
        let rows = world.view().validators;
        (rows[0].behind, rows[1].behind)
    };
    assert_eq!(look(0, 0, 100, 100), (Some(0), None), "of the other nothing is known");
    assert_eq!(look(1, 5, 120, 120), (Some(0), Some(0)), "it was asked before that was known");
    assert_eq!(look(0, 1000, 121, 121), (Some(0), Some(0)));
    assert_eq!(look(1, 1020, 120, 120), (Some(0), Some(1)), "it was asked after that was known");
    assert_eq!(look(0, 2000, 150, 160), (Some(10), Some(1)), "it has heard of more itself");
}

#[test]
fn who_misses_votes_is_told_by_the_others() {
    let view = after(4, &[(3, Trouble::Silent("connection refused"))]);
    let missed = |row: &Row| (row.votes_missing, row.votes_missing_share);
    let missed: Vec<_> = view.validators.iter().map(missed).collect();
    // In the last six of ten blocks.
    assert_eq!(missed[..3], [(Some(0), Some(0.0)); 3]);
    assert_eq!(missed[3], (Some(6), Some(0.6)));
}

#[test]
fn a_quorum_is_of_power_where_the_genesis_is_known() {
    let silent = Trouble::Silent("connection refused");
    let quorum = |power: [u64; 4], troubles: &[(usize, Trouble)], known: bool| {
        let mut world = World::new(4);
        world.members.power =
            power.into_iter().enumerate().map(|(at, it)| (name(at), it)).collect();
        if !known {
            world.members.chain_id = "another".to_owned();
        }
        let of = world.runs(3, troubles).view().federation;
        (of.answering, of.answering_power, of.quorum_answers)
    };
    let (one, two) = ([(0, silent)], [(0, silent), (1, silent)]);
    assert_eq!(quorum([1, 1, 1, 1], &one, true), (3, Some(3), true));
    assert_eq!(quorum([2, 1, 1, 1], &one, true), (3, Some(3), false), "the strongest is gone");
    assert_eq!(quorum([1, 1, 5, 5], &two, true), (2, Some(10), true), "the weakest are gone");
    assert_eq!(quorum([1, 1, 1, 1], &two, false), (2, None, false), "as many as were asked");
    assert_eq!(quorum([9, 1, 1, 1], &one, false), (3, None, true));

    let mut world = World::new(4);
    let asked_of_seven = (0..7).map(|at| (name(at), 1)).collect();
    world.members.power = asked_of_seven;
    let view = world.runs(2, &[]).view();
    assert_eq!(view.federation.not_heard, ["validator-4", "validator-5", "validator-6"]);
    assert!(!view.federation.quorum_answers && view.federation.quorum == Some(true));
    assert_eq!(no_quorum(&view), "no quorum answers: 4 of 7 validators do");
}

#[test]
fn who_never_answered_is_named_where_it_can_only_be_one() {
    let silent = Trouble::Silent("connection refused");
    let names = |troubles: &[(usize, Trouble)]| -> Vec<Option<String>> {
        let view = World::new(4).runs(2, troubles).view();
        view.validators.into_iter().map(|row| row.validator).collect()
    };
    assert_eq!(names(&[(2, silent)]), (0..4).map(|at| Some(name(at))).collect::<Vec<_>>());
    assert_eq!(names(&[(1, silent), (2, silent)])[1..3], [None, None]);
    assert_eq!(names(&[(0, silent), (1, silent), (2, silent), (3, silent)]), [const { None }; 4]);
}

#[test]
fn one_of_another_chain_is_not_counted() {
    let mut world = World::new(4);
    world.runs(2, &[]);
    let mut foreign = world.answer(3, None, &[]).unwrap();
    foreign.status.chain_id = "beef".to_owned();
    foreign.status.height = 9000;
    world.history.take(3, Ok(foreign));
    let view = world.view();
    assert_eq!(view.validators[3].state, State::OtherChain);
    assert_eq!(view.validators[3].because.as_deref(), Some("chain beef"));
    assert_eq!((view.federation.answering, view.federation.height), (3, Some(1002)));
}

#[test]
fn one_that_waits_for_its_genesis_is_founding() {
    let mut world = World::new(2);
    for at in 0..2 {
        let status = Status {
            phase: "founding".to_owned(),
            validator: name(at),
            not_ready_because: Some("it waits for its genesis".to_owned()),
            ..Status::default()
        };
        world.history.take(at, Ok(says(status)));
    }
    let view = world.view();
    assert!(
        view.validators.iter().all(|row| row.state == State::Founding && row.height == Some(0))
    );
    assert_eq!((view.federation.quorum, view.federation.quorum_answers), (None, false));
}

#[test]
fn blocks_are_told_once_whoever_tells_them() {
    let mut world = World::new(4);
    world.runs(3, &[]);
    let silent = (0, Trouble::Silent("connection refused"));
    world.runs(2, &[silent]);
    world.runs(2, &[]);
    world.runs(2, &[(1, Trouble::Silent("gone"))]);
    let seen: Vec<_> = world.view().blocks;
    let heights: Vec<u64> = seen.iter().rev().map(|seen| seen.height).collect();
    assert_eq!(heights, (1002..=1009).collect::<Vec<_>>(), "one a second since the second look");
    for block in &seen {
        assert_eq!((block.blocks, block.committed, block.transactions), (1, Some(9), Some(10)));
        assert_eq!(block.interval_seconds, Some(1.0), "{block:?}");
    }

    // Several between two looks are one line; what was counted is of all of them.
    world.second += 2;
    world.runs(1, &[]);
    let several = world.view().blocks.remove(0);
    assert_eq!((several.height, several.blocks, several.committed), (1012, 3, Some(27)));
}

#[test]
fn after_a_restart_it_is_counted_from_there() {
    let mut world = World::new(1);
    world.runs(5, &[]);
    let restarted = [(0, Trouble::Restarted)];
    let view = world.runs(1, &restarted).view();
    assert_eq!((view.federation.committed_per_second, view.over_seconds), (None, 0.0));
    let view = world.runs(2, &restarted).view();
    assert_eq!((view.federation.committed_per_second, view.over_seconds), (Some(9.0), 2.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No screen is too small, none too large, and nothing is drawn outside of it.
    #[test]
    fn every_screen_is_drawn(
        width in 1u16..300, height in 1u16..80, validators in 1usize..40, scrolled in 0usize..50,
        help: bool, paused: bool,
    ) {
        let view = after(validators, &[(0, Trouble::Unread), (1, Trouble::Silent("\u{5bff}\u{53f8}"))]);
        let choices = Choices { scrolled, help, paused, ..choices() };
        let buffer = drawn(&view, &choices, width, height);
        prop_assert_eq!((buffer.area.width, buffer.area.height), (width, height));
    }
}
