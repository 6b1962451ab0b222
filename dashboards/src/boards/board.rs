//! What a dashboard is made of: rows of panels, and the questions that panels ask.

use super::promql::within;

/// One dashboard.
#[derive(Debug)]
pub struct Dashboard {
    /// What links and bookmarks know it by.
    pub uid: &'static str,
    /// What people read.
    pub title: &'static str,
    /// Whom it is for.
    pub(super) description: &'static str,
    /// What readers choose, on top.
    pub(super) variables: Vec<Variable>,
    /// What is drawn into every panel over time.
    pub(super) marks: Vec<Mark>,
    /// From top to bottom.
    pub(super) rows: Vec<Row>,
    /// The matchers of what readers chose: what `@` in an expression stands for.
    scope: &'static str,
}

/// What readers choose: the values of a label.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) query: &'static str,
    /// Several at a time, or all.
    pub(super) many: bool,
}

/// Moments that are marked in every panel.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
    pub(super) expression: String,
    pub(super) text: &'static str,
    /// The value is the time of the mark, in milliseconds; otherwise it marks while there is one.
    pub(super) value_is_time: bool,
    quiet: &'static str,
}

/// Panels that belong together, under a heading.
#[derive(Debug)]
pub struct Row {
    pub(super) title: &'static str,
    pub(super) panels: Vec<Panel>,
    /// Folded away until somebody asks.
    pub(super) folded: bool,
}

/// What a panel draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One number, now.
    Stat,
    /// Lines over time.
    Lines,
    /// Areas over time, one upon the other.
    Stack,
    /// Which state each was in, over time.
    States,
    /// How many in which bucket, over time.
    Heatmap,
    /// A row for each, now. The queries are its columns.
    Table,
}

/// One panel.
#[derive(Debug)]
pub struct Panel {
    /// What people read.
    pub title: &'static str,
    pub(super) description: &'static str,
    pub(super) unit: Unit,
    pub(super) kind: Kind,
    pub(super) queries: Vec<Query>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) steps: Vec<Step>,
    pub(super) names: Vec<Name>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) keys: Vec<Key>,
}

/// A question to Prometheus.
#[derive(Debug)]
pub struct Query {
    /// What a line is called; of a table, the heading of its column.
    pub(super) legend: &'static str,
    /// PromQL, with Grafana's variables in it.
    pub expression: String,
    /// Why there may be no answer, when all is well; otherwise there always is one.
    pub quiet: Option<&'static str>,
    pub(super) unit: Option<Unit>,
    pub(super) steps: Vec<Step>,
    pub(super) names: Vec<Name>,
    pub(super) colour: Option<&'static str>,
    pub(super) dashed: bool,
    /// Of a table: the label that the column shows instead of the number.
    pub(super) says: Option<&'static str>,
}

/// A label by which the rows of a table are told apart, its heading, and where a click on it leads.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) label: &'static str,
    pub(super) heading: &'static str,
    pub(super) link: Option<(&'static str, &'static str)>,
}

/// From this value on (`None`: from the least), this colour.
pub(super) type Step = (Option<f64>, &'static str);

/// This value is called so, in this colour.
pub(super) type Name = (i32, &'static str, &'static str);

/// Higher is worse: green, from the first value on orange, from the second on red.
pub(super) fn rising(orange: f64, red: f64) -> Vec<Step> {
    vec![(None, "green"), (Some(orange), "orange"), (Some(red), "red")]
}

/// Lower is worse: red, from the first value on orange, from the second on green.
pub(super) fn falling(orange: f64, green: f64) -> Vec<Step> {
    vec![(None, "red"), (Some(orange), "orange"), (Some(green), "green")]
}

/// No, in red, and yes, in green.
pub(super) const YES_OR_NO: [Name; 2] = [(0, "no", "red"), (1, "yes", "green")];

/// What numbers are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// How many; large ones in thousands and millions.
    Count,
    /// A number of which each digit counts.
    Exact,
    Seconds,
    Bytes,
    BytesASecond,
    ASecond,
    RequestsASecond,
    /// Between 0 and 1, shown as per cent.
    Share,
}

impl Unit {
    /// What Grafana calls it.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Count => "short",
            Self::Exact => "locale",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::BytesASecond => "binBps",
            Self::ASecond => "cps",
            Self::RequestsASecond => "reqps",
            Self::Share => "percentunit",
        }
    }
}

impl Dashboard {
    /// Nothing yet; `scope` is what `@` in expressions stands for.
    pub(super) fn new(
        uid: &'static str,
        title: &'static str,
        description: &'static str,
        scope: &'static str,
    ) -> Self {
        let (variables, marks, rows) = (vec![], vec![], vec![]);
        Self { uid, title, description, variables, marks, rows, scope }
    }

    /// One of several values, which readers choose.
    pub(super) fn one(
        mut self,
        name: &'static str,
        label: &'static str,
        query: &'static str,
    ) -> Self {
        self.variables.push(Variable { name, label, query, many: false });
        self
    }

    /// Some or all of several values.
    pub(super) fn many(
        mut self,
        name: &'static str,
        label: &'static str,
        query: &'static str,
    ) -> Self {
        self.variables.push(Variable { name, label, query, many: true });
        self
    }

    pub(super) fn mark(mut self, mark: Mark) -> Self {
        self.marks.push(Mark { expression: within(&mark.expression, self.scope), ..mark });
        self
    }

    pub(super) fn row(mut self, mut row: Row) -> Self {
        for query in row.panels.iter_mut().flat_map(|panel| &mut panel.queries) {
            query.expression = within(&query.expression, self.scope);
        }
        self.rows.push(row);
        self
    }

    /// Every question that it asks: where, what, and why there may be no answer.
    pub fn questions(&self) -> impl Iterator<Item = (&'static str, &str, Option<&'static str>)> {
        let panels = self.rows.iter().flat_map(|row| &row.panels);
        let queries = panels.flat_map(|panel| {
            panel.queries.iter().map(|q| (panel.title, q.expression.as_str(), q.quiet))
        });
        let marks = self.marks.iter().map(|m| (m.name, m.expression.as_str(), Some(m.quiet)));
        queries.chain(marks)
    }
}

impl Mark {
    /// Marked while the expression has a value.
    pub(super) fn while_there(
        name: &'static str,
        colour: &'static str,
        expression: &str,
        text: &'static str,
    ) -> Self {
        let (expression, quiet) = (expression.to_owned(), "only while something is the matter");
        Self { name, colour, expression, text, value_is_time: false, quiet }
    }

    /// Marked at the moments that the expression's values name.
    pub(super) fn at(
        name: &'static str,
        colour: &'static str,
        expression: &str,
        text: &'static str,
    ) -> Self {
        let (expression, quiet) = (expression.to_owned(), "");
        Self { name, colour, expression, text, value_is_time: true, quiet }
    }
}

impl Row {
    pub(super) fn new(title: &'static str, panels: Vec<Panel>) -> Self {
        Self { title, panels, folded: false }
    }

    /// Folded away until somebody asks: not everyone has what it shows.
    pub(super) fn folded(title: &'static str, panels: Vec<Panel>) -> Self {
        Self { title, panels, folded: true }
    }
}

impl Panel {
    fn new(
        kind: Kind,
        (width, height): (u32, u32),
        title: &'static str,
        unit: Unit,
        description: &'static str,
    ) -> Self {
        Self {
            title,
            description,
            unit,
            kind,
            queries: vec![],
            width,
            height,
            steps: vec![],
            names: vec![],
            min: None,
            max: None,
            keys: vec![],
        }
    }

    /// A number. `description`: what it shows, and what to do when it looks bad.
    pub(super) fn stat(title: &'static str, unit: Unit, description: &'static str) -> Self {
        Self::new(Kind::Stat, (3, 4), title, unit, description)
    }

    /// Lines over time, which begin at 0.
    pub(super) fn lines(title: &'static str, unit: Unit, description: &'static str) -> Self {
        Self::new(Kind::Lines, (8, 7), title, unit, description).least(0.0)
    }

    /// Parts of a whole over time.
    pub(super) fn stack(title: &'static str, unit: Unit, description: &'static str) -> Self {
        Self::new(Kind::Stack, (8, 7), title, unit, description).least(0.0)
    }

    /// States over time, by the names of the values.
    pub(super) fn states(title: &'static str, names: &[Name], description: &'static str) -> Self {
        let mut panel = Self::new(Kind::States, (8, 7), title, Unit::Count, description);
        panel.names = names.to_vec();
        panel
    }

    /// Buckets of a histogram over time.
    pub(super) fn heatmap(title: &'static str, unit: Unit, description: &'static str) -> Self {
        Self::new(Kind::Heatmap, (12, 8), title, unit, description)
    }

    /// A row for each value of the keys, a column for each query.
    pub(super) fn table(title: &'static str, description: &'static str) -> Self {
        Self::new(Kind::Table, (24, 8), title, Unit::Count, description)
    }

    pub(super) fn sized(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    pub(super) fn query(mut self, query: Query) -> Self {
        self.queries.push(query);
        self
    }

    /// A query and its legend.
    pub(super) fn ask(self, legend: &'static str, expression: impl Into<String>) -> Self {
        self.query(Query::new(legend, expression))
    }

    pub(super) fn steps(mut self, steps: Vec<Step>) -> Self {
        self.steps = steps;
        self
    }

    pub(super) fn names(mut self, names: &[Name]) -> Self {
        self.names = names.to_vec();
        self
    }

    pub(super) fn least(mut self, min: f64) -> Self {
        self.min = Some(min);
        self
    }

    pub(super) fn most(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }

    /// What tells the rows of a table apart.
    pub(super) fn key(mut self, label: &'static str, heading: &'static str) -> Self {
        self.keys.push(Key { label, heading, link: None });
        self
    }

    /// The same, and a click on it leads somewhere: a title and an address.
    pub(super) fn key_that_leads(
        mut self,
        label: &'static str,
        heading: &'static str,
        link: (&'static str, &'static str),
    ) -> Self {
        self.keys.push(Key { label, heading, link: Some(link) });
        self
    }
}

impl Query {
    pub(super) fn new(legend: &'static str, expression: impl Into<String>) -> Self {
        Self {
            legend,
            expression: expression.into(),
            quiet: None,
            unit: None,
            steps: vec![],
            names: vec![],
            colour: None,
            dashed: false,
            says: None,
        }
    }

    /// Nothing to show is nothing bad, for this reason.
    pub(super) fn quiet(mut self, why: &'static str) -> Self {
        self.quiet = Some(why);
        self
    }

    pub(super) fn unit(mut self, unit: Unit) -> Self {
        self.unit = Some(unit);
        self
    }

    pub(super) fn steps(mut self, steps: Vec<Step>) -> Self {
        self.steps = steps;
        self
    }

    pub(super) fn names(mut self, names: &[Name]) -> Self {
        self.names = names.to_vec();
        self
    }

    pub(super) fn colour(mut self, colour: &'static str) -> Self {
        self.colour = Some(colour);
        self
    }

    /// What is expected, or the most that there may be: not a line of what is.
    pub(super) fn dashed(mut self) -> Self {
        self.dashed = true;
        self
    }

    /// The column shows this label, not the number.
    pub(super) fn says(mut self, label: &'static str) -> Self {
        self.says = Some(label);
        self
    }
}

/// Why there may be no answer.
pub(super) const AFTER_TROUBLE: &str = "counted only after trouble";
pub(super) const WITH_TIKV: &str = "only with TiKV";
