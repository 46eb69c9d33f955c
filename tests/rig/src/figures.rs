//! What is counted: a recorder of metrics for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, LocalRecorderGuard,
    Metadata, Recorder, SharedString, Unit,
};

/// A recorder that keeps every figure; to look at them changes none.
#[derive(Clone, Debug, Default)]
pub struct Figures(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    described: BTreeMap<String, Described>,
    series: BTreeMap<Series, Value>,
}

#[derive(Debug)]
struct Described {
    kind: &'static str,
    unit: &'static str,
    description: String,
}

/// A metric's name and its labels.
type Series = (String, BTreeMap<String, String>);

#[derive(Debug)]
enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram(Vec<f64>),
}

/// A series that something counts in.
struct Handle {
    figures: Figures,
    series: Series,
}

impl Figures {
    /// Records what this thread does until the guard is dropped: all of a test that has a runtime
    /// of one thread.
    pub fn record(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(self)
    }

    /// The sum of a counter's series that have these labels.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.find(name, labels, |value| match value {
            Value::Counter(value) => *value,
            other => panic!("{name} is {other:?}"),
        })
        .into_iter()
        .sum()
    }

    /// The sum of a gauge's series that have these labels.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels, |value| match value {
            Value::Gauge(value) => *value,
            other => panic!("{name} is {other:?}"),
        })
        .into_iter()
        .sum()
    }

    /// The values of a histogram's series that have these labels.
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.find(name, labels, |value| match value {
            Value::Histogram(values) => values.clone(),
            other => panic!("{name} is {other:?}"),
        })
        .concat()
    }

    /// What was described and has a series, as the rows of a table: name, type, unit, labels,
    /// meaning.
    pub fn table(&self) -> BTreeSet<String> {
        let state = self.state();
        let described = state.described.iter().filter_map(|(name, described)| {
            let Described {
                kind,
                unit,
                description,
            } = described;
            let series = state.series.keys().filter(|(other, _)| other == name);
            let labels: Vec<_> = series.map(|(_, labels)| labels.keys()).collect();
            let labels: BTreeSet<_> = labels
                .first()?
                .clone()
                .chain(labels.into_iter().flatten())
                .collect();
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = labels.join(", ");
            Some(format!(
                "| `{name}` | {kind} | {unit} | {labels} | {description} |"
            ))
        });
        described.collect()
    }

    /// Every label with its value, but for those that are named.
    pub fn labels(&self) -> BTreeSet<(String, String)> {
        let state = self.state();
        let labels = state.series.keys().flat_map(|(_, labels)| labels);
        labels
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    fn find<T>(&self, name: &str, labels: &[(&str, &str)], value: impl Fn(&Value) -> T) -> Vec<T> {
        let state = self.state();
        let has = |series: &BTreeMap<String, String>| {
            let mut wanted = labels.iter();
            wanted.all(|(label, value)| series.get(*label).is_some_and(|is| is == value))
        };
        let found = state.series.iter();
        let found = found.filter(|((is, series), _)| is == name && has(series));
        found.map(|(_, found)| value(found)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn describe(
        &self,
        kind: &'static str,
        name: &KeyName,
        unit: Option<Unit>,
        text: &SharedString,
    ) {
        let described = Described {
            kind,
            unit: unit.map_or("", |unit| unit.as_str()),
            description: text.to_string(),
        };
        let name = name.as_str().to_owned();
        self.state().described.insert(name, described);
    }

    fn handle(&self, key: &Key, value: Value) -> Arc<Handle> {
        let labels = key.labels();
        let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned()));
        let series = (key.name().to_owned(), labels.collect());
        self.state().series.entry(series.clone()).or_insert(value);
        Arc::new(Handle {
            figures: self.clone(),
            series,
        })
    }
}

impl Handle {
    fn change(&self, change: impl FnOnce(&mut Value)) {
        change(self.figures.state().series.get_mut(&self.series).unwrap());
    }
}

impl Recorder for Figures {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe("counter", &name, unit, &text);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe("gauge", &name, unit, &text);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe("histogram", &name, unit, &text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.handle(key, Value::Counter(0)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.handle(key, Value::Gauge(0.0)))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.handle(key, Value::Histogram(Vec::new())))
    }
}

impl CounterFn for Handle {
    fn increment(&self, by: u64) {
        self.change(|value| match value {
            Value::Counter(value) => *value += by,
            other => panic!("{other:?} is no counter"),
        });
    }

    fn absolute(&self, to: u64) {
        self.change(|value| *value = Value::Counter(to));
    }
}

impl GaugeFn for Handle {
    fn increment(&self, by: f64) {
        self.change(|value| match value {
            Value::Gauge(value) => *value += by,
            other => panic!("{other:?} is no gauge"),
        });
    }

    fn decrement(&self, by: f64) {
        GaugeFn::increment(self, -by);
    }

    fn set(&self, to: f64) {
        self.change(|value| *value = Value::Gauge(to));
    }
}

impl HistogramFn for Handle {
    fn record(&self, one: f64) {
        self.change(|value| match value {
            Value::Histogram(values) => values.push(one),
            other => panic!("{other:?} is no histogram"),
        });
    }
}
