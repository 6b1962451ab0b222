//! A dashboard as Grafana imports it (10 and later): its JSON, and where on the grid each panel lies.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    CLUSTER, FLEET, OPERATOR, TAG,
    board::{Dashboard, Key, Kind, Mark, Name, Panel, Query, Step, Unit, Variable},
};

/// Of Grafana 10: later versions migrate it, earlier ones refuse.
const SCHEMA_VERSION: u32 = 39;

/// Columns of the grid.
const COLUMNS: u32 = 24;

/// What may be written where "no data" would frighten without need.
const NOTHING: &str = "none";

impl Dashboard {
    /// What the file holds: keys in alphabetical order, a line each.
    #[must_use]
    pub fn json(&self) -> String {
        let dashboard = json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": false,
            "timezone": "browser",
            "time": { "from": "now-1h", "to": "now" },
            "timepicker": {},
            "refresh": "30s",
            "fiscalYearStartMonth": 0,
            "weekStart": "",
            "liveNow": false,
            // A crosshair in all panels at once: what happened together is seen together.
            "graphTooltip": 1,
            "links": links(self.uid),
            "annotations": { "list": self.marks.iter().map(mark).collect::<Vec<_>>() },
            "templating": { "list": variables(&self.variables) },
            "panels": self.placed(),
        });
        let mut text = serde_json::to_string_pretty(&sorted(dashboard)).expect("it is JSON");
        text.push('\n');
        text
    }

    /// Rows and panels from left to right, from top to bottom.
    fn placed(&self) -> Vec<Value> {
        let (mut placed, mut id, mut top) = (vec![], 0, 0);
        for row in &self.rows {
            id += 1;
            let row_id = id;
            let below = top + 1;
            let (mut x, mut y, mut tallest) = (0, below, 0);
            let mut panels = vec![];
            for panel in &row.panels {
                if x + panel.width > COLUMNS {
                    (x, y, tallest) = (0, y + tallest, 0);
                }
                id += 1;
                let at = json!({ "x": x, "y": y, "w": panel.width, "h": panel.height });
                panels.push(panel_json(panel, id, at));
                (x, tallest) = (x + panel.width, tallest.max(panel.height));
            }
            let heading = |panels: &[Value]| {
                json!({
                    "type": "row", "id": row_id, "title": row.title, "collapsed": row.folded,
                    "gridPos": { "x": 0, "y": top, "w": COLUMNS, "h": 1 }, "panels": panels,
                })
            };
            if row.folded {
                placed.push(heading(&panels));
                top = below;
            } else {
                placed.push(heading(&[]));
                placed.append(&mut panels);
                top = y + tallest;
            }
        }
        placed
    }
}

fn prometheus() -> Value {
    json!({ "type": "prometheus", "uid": "$datasource" })
}

/// To the other dashboards; what was chosen there need not mean anything here.
fn links(from: &str) -> Vec<Value> {
    [(FLEET, "All clusters"), (CLUSTER, "One cluster"), (OPERATOR, "Operator")]
        .into_iter()
        .filter(|(uid, _)| *uid != from)
        .map(|(uid, title)| {
            json!({
                "type": "link", "title": title, "url": format!("/d/{uid}?var-datasource=${{datasource}}"),
                "icon": "dashboard", "tooltip": "", "tags": [], "asDropdown": false,
                "includeVars": false, "keepTime": true, "targetBlank": false,
            })
        })
        .collect()
}

fn mark(mark: &Mark) -> Value {
    json!({
        "name": mark.name, "datasource": prometheus(), "enable": true, "hide": false,
        "iconColor": mark.colour, "expr": mark.expression, "step": "30s",
        "titleFormat": mark.name, "textFormat": mark.text,
        "useValueForTime": if mark.value_is_time { "on" } else { "off" },
    })
}

fn variables(chosen: &[Variable]) -> Vec<Value> {
    let mut list = vec![json!({
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
        "current": {}, "hide": 0, "includeAll": false, "multi": false, "options": [],
        "refresh": 1, "regex": "", "skipUrlSync": false,
    })];
    list.extend(chosen.iter().map(|variable| {
        let mut value = json!({
            "name": variable.name, "label": variable.label, "type": "query",
            "datasource": prometheus(), "query": variable.query, "definition": variable.query,
            "current": {}, "hide": 0, "includeAll": variable.many, "multi": variable.many,
            // Again whenever the time range changes; sorted by name.
            "options": [], "refresh": 2, "sort": 1, "regex": "", "skipUrlSync": false,
        });
        if variable.many {
            value["allValue"] = json!(".+");
            value["current"] = json!({ "selected": true, "text": ["All"], "value": ["$__all"] });
        }
        value
    }));
    list
}

fn panel_json(panel: &Panel, id: u32, at: Value) -> Value {
    let targets =
        panel.queries.iter().enumerate().map(|(index, query)| target(panel, index, query));
    let mut json = json!({
        "id": id,
        "type": kind_id(panel.kind),
        "title": panel.title,
        "description": panel.description,
        "datasource": prometheus(),
        "gridPos": at,
        "targets": targets.collect::<Vec<_>>(),
        "fieldConfig": { "defaults": defaults(panel), "overrides": overrides(panel) },
        "options": options(panel),
    });
    if panel.kind == Kind::Table {
        json["transformations"] = transformations(panel);
    }
    json
}

fn kind_id(kind: Kind) -> &'static str {
    match kind {
        Kind::Stat => "stat",
        Kind::Lines | Kind::Stack => "timeseries",
        Kind::States => "state-timeline",
        Kind::Heatmap => "heatmap",
        Kind::Table => "table",
    }
}

/// A, B, C, …: what Grafana tells the queries of a panel apart by.
fn letter(index: usize) -> String {
    let letter = u8::try_from(index).ok().and_then(|index| b'A'.checked_add(index));
    char::from(letter.expect("no panel asks as many questions")).to_string()
}

fn target(panel: &Panel, index: usize, query: &Query) -> Value {
    let table = panel.kind == Kind::Table;
    let format = match panel.kind {
        Kind::Table => "table",
        Kind::Heatmap => "heatmap",
        Kind::Stat | Kind::Lines | Kind::Stack | Kind::States => "time_series",
    };
    json!({
        "refId": letter(index), "datasource": prometheus(), "editorMode": "code",
        "expr": query.expression, "format": format, "instant": table, "range": !table,
        "legendFormat": if table { "__auto" } else { query.legend },
    })
}

fn steps(steps: &[Step]) -> Value {
    let steps: Vec<_> =
        steps.iter().map(|(from, colour)| json!({ "value": from, "color": colour })).collect();
    json!({ "mode": "absolute", "steps": steps })
}

fn mappings(names: &[Name]) -> Value {
    let options: BTreeMap<_, _> = names
        .iter()
        .enumerate()
        .map(|(index, (value, text, colour))| {
            (value.to_string(), json!({ "text": text, "color": colour, "index": index }))
        })
        .collect();
    json!([{ "type": "value", "options": options }])
}

fn defaults(panel: &Panel) -> Value {
    let by_steps = !panel.steps.is_empty() || panel.kind == Kind::Table;
    let colour = match panel.kind {
        Kind::Stat if !by_steps => json!({ "mode": "fixed", "fixedColor": "blue" }),
        Kind::Stat | Kind::States | Kind::Table => json!({ "mode": "thresholds" }),
        Kind::Lines | Kind::Stack | Kind::Heatmap => json!({ "mode": "palette-classic" }),
    };
    let plain = vec![(None, if panel.kind == Kind::Table { "text" } else { "green" })];
    let mut defaults = json!({
        "unit": panel.unit.id(),
        "color": colour,
        "thresholds": steps(if panel.steps.is_empty() { &plain } else { &panel.steps }),
                "custom": custom(panel.kind),
    });
    if !panel.names.is_empty() {
        defaults["mappings"] = mappings(&panel.names);
    }
    for (name, bound) in [("min", panel.min), ("max", panel.max)] {
        if let Some(bound) = bound {
            defaults[name] = json!(bound);
        }
    }
    if panel.queries.iter().all(|query| query.quiet.is_some()) {
        defaults["noValue"] = json!(NOTHING);
    }
    defaults
}

/// What differs from what Grafana does by itself.
fn custom(kind: Kind) -> Value {
    match kind {
        Kind::Stat | Kind::Heatmap | Kind::Table => json!({}),
        Kind::Lines => json!({ "fillOpacity": 5, "showPoints": "never" }),
        Kind::Stack => json!({
            "fillOpacity": 30, "showPoints": "never", "stacking": { "mode": "normal", "group": "A" },
        }),
        Kind::States => json!({ "lineWidth": 0, "fillOpacity": 80 }),
    }
}

fn options(panel: &Panel) -> Value {
    let legend = json!({
        "showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": [],
    });
    match panel.kind {
        Kind::Stat => json!({
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            "colorMode": "value", "graphMode": "area",
        }),
        Kind::Lines | Kind::Stack => {
            json!({ "legend": legend, "tooltip": { "mode": "multi", "sort": "desc" } })
        }
        Kind::States => json!({
            "mergeValues": true, "showValue": "never", "rowHeight": 0.8, "legend": legend,
            "tooltip": { "mode": "single", "sort": "none" },
        }),
        Kind::Heatmap => json!({
            // What Prometheus has are buckets already.
            "calculate": false, "rowsFrame": { "layout": "auto" }, "cellGap": 1,
            "filterValues": { "le": 1e-9 }, "showValue": "never",
            "color": {
                "mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "steps": 64,
                "scale": "exponential", "exponent": 0.5, "reverse": false,
            },
            "yAxis": { "axisPlacement": "left", "reverse": false, "unit": panel.unit.id() },
            "legend": { "show": true },
            "tooltip": { "mode": "single", "showColorScale": false, "yHistogram": false },
        }),
        Kind::Table => json!({ "showHeader": true, "cellHeight": "sm" }),
    }
}

/// What single lines and columns have of their own.
fn overrides(panel: &Panel) -> Vec<Value> {
    let mut overrides: Vec<_> = panel.keys.iter().filter_map(key_override).collect();
    for query in &panel.queries {
        let properties = properties(panel, query);
        if !properties.is_empty() {
            let properties: Vec<_> = properties
                .into_iter()
                .map(|(id, value)| json!({ "id": id, "value": value }))
                .collect();
            overrides.push(json!({
                "matcher": { "id": "byName", "options": query.legend }, "properties": properties,
            }));
        }
    }
    overrides
}

fn properties(panel: &Panel, query: &Query) -> Vec<(&'static str, Value)> {
    let mut properties = vec![];
    if let Some(unit) = query.unit.map(Unit::id) {
        properties.push(("unit", json!(unit)));
    }
    if !query.steps.is_empty() {
        properties.push(("thresholds", steps(&query.steps)));
    }
    if !query.names.is_empty() {
        properties.push(("mappings", mappings(&query.names)));
    }
    // In a table a colour is for what is not as it should be.
    if panel.kind == Kind::Table && !(query.steps.is_empty() && query.names.is_empty()) {
        properties.push(("custom.cellOptions", json!({ "type": "color-text" })));
    }
    if let Some(colour) = query.colour {
        properties.push(("color", json!({ "mode": "fixed", "fixedColor": colour })));
    }
    if query.dashed {
        let dashes = json!({ "fill": "dash", "dash": [8, 8] });
        properties.push(("custom.lineStyle", dashes));
        properties.push(("custom.fillOpacity", json!(0)));
        properties.push(("custom.stacking", json!({ "mode": "none", "group": "A" })));
    }
    properties
}

fn key_override(key: &Key) -> Option<Value> {
    let (title, url) = key.link?;
    let links = json!([{ "title": title, "url": url, "targetBlank": false }]);
    Some(json!({
        "matcher": { "id": "byName", "options": key.heading },
        "properties": [{ "id": "links", "value": links }],
    }))
}

/// The answers of a table's queries side by side: rows by the keys, columns in the order of the queries.
fn transformations(panel: &Panel) -> Value {
    let (mut hidden, mut order, mut names) = (Map::new(), Map::new(), Map::new());
    hidden.insert("Time".into(), json!(true));
    for key in &panel.keys {
        order.insert(key.label.into(), json!(order.len()));
        names.insert(key.label.into(), json!(key.heading));
    }
    for (index, query) in panel.queries.iter().enumerate() {
        let value = format!("Value #{}", letter(index));
        let shown = match query.says {
            None => value,
            Some(label) => {
                hidden.insert(value, json!(true));
                label.to_owned()
            }
        };
        order.insert(shown.clone(), json!(order.len()));
        names.insert(shown, json!(query.legend));
    }
    json!([
        { "id": "merge", "options": {} },
        { "id": "organize", "options": {
            "excludeByName": hidden, "includeByName": {}, "indexByName": order, "renameByName": names,
        } },
    ])
}

/// The same, with the keys of all objects in order, whatever else of this build wants them otherwise.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            sorted.into_iter().collect()
        }
        Value::Array(array) => array.into_iter().map(sorted).collect(),
        other => other,
    }
}
