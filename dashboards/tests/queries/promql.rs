//! PromQL as the tests look at it: parsed, its types checked, and each selector with what is around it.

use rusty_promql_parser::{
    Expr, LabelMatchOp, VectorSelector,
    parser::function::{ValueType, get_function},
};

/// What `$__rate_interval` stands for while an expression is parsed: nobody would write it.
pub(crate) const RATE_INTERVAL: i64 = 8_642_097;

/// The aggregations whose parameter comes first, and what it is.
const PARAMETERS: &[(&str, ValueType)] = &[
    ("bottomk", ValueType::Scalar),
    ("count_values", ValueType::String),
    ("quantile", ValueType::Scalar),
    ("topk", ValueType::Scalar),
];

/// The expression of a dashboard, or what is wrong with it.
pub(crate) fn parse(expression: &str) -> Result<Expr, String> {
    let text = expression.replace("$__rate_interval", &format!("{RATE_INTERVAL}s"));
    let (rest, parsed) =
        rusty_promql_parser::expr(text.trim()).map_err(|error| format!("{error}"))?;
    if !rest.trim().is_empty() {
        return Err(format!("what is `{rest}`?"));
    }
    kind_of(&parsed)?;
    Ok(parsed)
}

/// A selector, how far back it looks, and the function that it is given to.
pub(crate) struct Selector<'a> {
    pub(crate) vector: &'a VectorSelector,
    pub(crate) range_seconds: Option<i64>,
    pub(crate) function: Option<&'a str>,
}

impl Selector<'_> {
    pub(crate) fn name(&self) -> Option<&str> {
        self.vector.name.as_deref()
    }

    /// Whether it has `label=~"value"`.
    pub(crate) fn matches(&self, label: &str, value: &str) -> bool {
        self.vector.matchers.iter().any(|matcher| {
            matcher.name == label
                && matcher.op == LabelMatchOp::RegexMatch
                && matcher.value == value
        })
    }
}

/// All selectors, from left to right.
pub(crate) fn selectors(expression: &Expr) -> Vec<Selector<'_>> {
    let mut found = vec![];
    each(expression, None, &mut found);
    found
}

fn each<'a>(expression: &'a Expr, function: Option<&'a str>, found: &mut Vec<Selector<'a>>) {
    match expression {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::VectorSelector(vector) => {
            found.push(Selector { vector, range_seconds: None, function });
        }
        Expr::MatrixSelector(matrix) => found.push(Selector {
            vector: &matrix.selector,
            range_seconds: Some(matrix.range.as_secs()),
            function,
        }),
        Expr::Call(call) => call.args.iter().for_each(|arg| each(arg, Some(&call.name), found)),
        Expr::Aggregation(aggregation) => {
            aggregation.param.iter().for_each(|param| each(param, None, found));
            each(&aggregation.expr, None, found);
        }
        Expr::Binary(binary) => {
            each(&binary.lhs, None, found);
            each(&binary.rhs, None, found);
        }
        Expr::Unary(unary) => each(&unary.expr, None, found),
        Expr::Paren(inner) => each(inner, function, found),
        Expr::Subquery(subquery) => each(&subquery.expr, function, found),
    }
}

/// The labels that anything is grouped or matched by.
pub(crate) fn groupings(expression: &Expr) -> Vec<&str> {
    let mut labels: Vec<&str> = vec![];
    let mut below: Vec<&Expr> = vec![];
    match expression {
        Expr::Number(_) | Expr::String(_) | Expr::VectorSelector(_) | Expr::MatrixSelector(_) => {}
        Expr::Call(call) => below.extend(&call.args),
        Expr::Aggregation(aggregation) => {
            let grouping = aggregation.grouping.iter().flat_map(|grouping| &grouping.labels);
            labels.extend(grouping.map(String::as_str));
            below.push(&aggregation.expr);
        }
        Expr::Binary(binary) => {
            let matching = binary.modifier.iter().filter_map(|modifier| modifier.matching.as_ref());
            labels.extend(matching.flat_map(|matching| &matching.labels).map(String::as_str));
            below.extend([&binary.lhs, &binary.rhs]);
        }
        Expr::Unary(unary) => below.push(&unary.expr),
        Expr::Paren(inner) => below.push(inner),
        Expr::Subquery(subquery) => below.push(&subquery.expr),
    }
    labels.extend(below.into_iter().flat_map(groupings));
    labels
}

/// What an expression is, if its parts fit together.
fn kind_of(expression: &Expr) -> Result<ValueType, String> {
    match expression {
        Expr::Number(_) => Ok(ValueType::Scalar),
        Expr::String(_) => Ok(ValueType::String),
        Expr::VectorSelector(_) => Ok(ValueType::Vector),
        Expr::MatrixSelector(_) => Ok(ValueType::Matrix),
        Expr::Paren(inner) => kind_of(inner),
        Expr::Unary(unary) => kind_of(&unary.expr),
        Expr::Subquery(subquery) => {
            expect("a subquery", &subquery.expr, ValueType::Vector)?;
            Ok(ValueType::Matrix)
        }
        Expr::Call(call) => {
            let function =
                get_function(&call.name).ok_or_else(|| format!("no function {}", call.name))?;
            let given = call.args.len();
            if given < function.min_args() || function.max_args().is_some_and(|max| given > max) {
                return Err(format!("{} does not take {given} arguments", call.name));
            }
            for (index, argument) in call.args.iter().enumerate() {
                let last = function.arg_types.len().saturating_sub(1);
                expect(&call.name, argument, function.arg_types[index.min(last)])?;
            }
            Ok(function.return_type)
        }
        Expr::Aggregation(aggregation) => {
            let wants = PARAMETERS.iter().find(|(op, _)| *op == aggregation.op).map(|(_, is)| *is);
            match (wants, &aggregation.param) {
                (Some(is), Some(param)) => expect(&aggregation.op, param, is)?,
                (None, None) => {}
                _ => return Err(format!("{} and its parameter do not fit", aggregation.op)),
            }
            expect(&aggregation.op, &aggregation.expr, ValueType::Vector)?;
            Ok(ValueType::Vector)
        }
        Expr::Binary(binary) => {
            let sides = [kind_of(&binary.lhs)?, kind_of(&binary.rhs)?];
            if sides.iter().any(|side| matches!(side, ValueType::Matrix | ValueType::String)) {
                return Err(format!("{} between {} and {}", binary.op, sides[0], sides[1]));
            }
            let scalars = sides == [ValueType::Scalar; 2];
            Ok(if scalars { ValueType::Scalar } else { ValueType::Vector })
        }
    }
}

fn expect(what: &str, expression: &Expr, wanted: ValueType) -> Result<(), String> {
    let is = kind_of(expression)?;
    if is == wanted { Ok(()) } else { Err(format!("{what} takes {wanted}, not {is}")) }
}
