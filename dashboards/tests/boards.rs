//! The dashboards' files are what the code says, and they are dashboards that people can read.
#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use cairn_dashboards::boards;
use serde_json::Value;

/// For people, and for the chart: one content.
const FOLDERS: [&str; 2] = ["dashboards", "charts/cairn-operator/files/dashboards"];

#[test]
fn the_files_are_what_the_code_says() {
    for folder in FOLDERS {
        for board in boards::all() {
            let path = root().join(folder).join(format!("{}.json", board.uid));
            if env::var_os("UPDATE_GOLDENFILES").is_some() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, board.json()).unwrap();
            }
            assert!(
                fs::read_to_string(&path).unwrap_or_default() == board.json(),
                "{folder}/{}.json is stale: `make dashboards` writes it",
                board.uid
            );
        }
        let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let json = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
        assert_eq!(json.count(), boards::all().len(), "{folder} has a file that nothing writes");
    }
}

#[test]
fn a_dashboard_can_be_imported_anywhere() {
    let mut uids = BTreeSet::new();
    for board in read() {
        assert!(board["id"].is_null(), "Grafana's own id means another dashboard elsewhere");
        let uid = board["uid"].as_str().unwrap().to_owned();
        assert!(uid.len() <= 40 && uids.insert(uid.clone()), "{uid}");
        assert!(board["schemaVersion"].as_u64().unwrap() >= 39);
        assert_eq!(board["timezone"], "browser");
        assert_eq!(board["links"].as_array().unwrap().len(), 2, "to the two others");
    }
}

#[test]
fn links_lead_to_dashboards_that_there_are() {
    let boards = read();
    let text = boards.iter().map(Value::to_string).collect::<String>();
    let uids: BTreeSet<_> = boards.iter().map(|board| board["uid"].as_str().unwrap()).collect();
    for link in text.split("\"/d/").skip(1) {
        let end = link.find(['?', '/', '"']).unwrap();
        assert!(uids.contains(&link[..end]), "/d/{link:.40}");
    }
}

#[test]
fn panels_lie_on_the_grid_and_not_upon_each_other() {
    for board in read() {
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        // What is folded away takes no place until it is unfolded.
        for panel in board["panels"].as_array().unwrap() {
            let (at, title) = (&panel["gridPos"], &panel["title"]);
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| at[name].as_u64().unwrap());
            assert!(x + w <= 24, "{title} leaves the grid");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{title} lies upon another at {cell:?}");
            }
        }
        for panel in panels(&board) {
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{} has another's id",
                panel["title"]
            );
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_and_what_to_do() {
    for board in read() {
        let mut titles = BTreeSet::new();
        for panel in panels(&board).into_iter().filter(|panel| panel["type"] != "row") {
            let title = panel["title"].as_str().unwrap();
            assert!(titles.insert(title), "{} has two panels `{title}`", board["uid"]);
            let says = panel["description"].as_str().unwrap();
            assert!((60..=420).contains(&says.len()), "{title}: {} letters", says.len());
            assert!(says.ends_with('.') && !says.contains("  "), "{title}: {says}");
            assert!(!panel["fieldConfig"]["defaults"]["unit"].is_null(), "{title} has no unit");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title} asks nothing");
        }
    }
}

/// Pods come and go, and outside of Kubernetes there are none.
#[test]
fn validators_are_told_apart_by_their_names() {
    for board in read() {
        for panel in panels(&board) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let asked = format!("{} {}", target["expr"], target["legendFormat"]);
                let words = asked.split(|c: char| !c.is_alphanumeric() && c != '_');
                assert!(words.into_iter().all(|word| word != "pod"), "{asked}");
            }
        }
    }
}

fn panels(board: &Value) -> Vec<&Value> {
    let above = board["panels"].as_array().unwrap();
    above
        .iter()
        .flat_map(|panel| {
            std::iter::once(panel).chain(panel["panels"].as_array().into_iter().flatten())
        })
        .collect()
}

fn read() -> Vec<Value> {
    boards::all().iter().map(|board| serde_json::from_str(&board.json()).unwrap()).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
