//! The rules of Grafana's dashboard-linter (a Go program), over the dashboards' JSON. They are at least as strict
//! as it: they look at panels of every kind. Exceptions are written down in `.lint`, as for the linter itself.

mod broken;
mod exceptions;
mod rules;

use cairn_dashboards::boards;
use serde_json::Value;

use exceptions::Exceptions;
use rules::RULES;

fn read() -> Vec<Value> {
    boards::all().iter().map(|board| serde_json::from_str(&board.json()).unwrap()).collect()
}

#[test]
fn the_dashboards_pass_all_rules() {
    let exceptions = Exceptions::read();
    let mut used = vec![];
    for board in read() {
        for rule in RULES {
            for finding in (rule.check)(&board) {
                let excused = exceptions.matching(rule.name, &board, &finding);
                assert!(
                    !excused.is_empty(),
                    "{}: {}: {:?}, query {:?}: {}",
                    board["title"],
                    rule.name,
                    finding.panel,
                    finding.target,
                    finding.says
                );
                used.extend(excused);
            }
        }
    }
    for exception in exceptions.all() {
        assert!(!exception.reason.trim().is_empty(), "{exception:?} says no reason");
        assert!(used.contains(&exception.number), "nothing needs {exception:?} any more");
    }
}

#[test]
fn there_are_the_seventeen_rules() {
    let names: std::collections::BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!((RULES.len(), names.len()), (17, 17));
}

#[test]
fn each_rule_refuses_a_dashboard_that_breaks_it() {
    let sound = read().remove(0);
    for rule in RULES {
        assert!(
            broken::TABLE.iter().any(|(name, ..)| *name == rule.name),
            "{} is untried",
            rule.name
        );
    }
    for (name, why, breaks) in broken::TABLE {
        let rule = RULES.iter().find(|rule| rule.name == *name).unwrap();
        let mut board = sound.clone();
        breaks(&mut board);
        assert!(board != sound, "{name}: nothing was broken: {why}");
        assert!(!(rule.check)(&board).is_empty(), "{name} took what breaks it: {why}");
    }
}
