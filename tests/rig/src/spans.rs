//! The spans and events of a test.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The spans and events of a test.
#[derive(Clone, Debug, Default)]
pub struct Spans(Arc<Mutex<Vec<Seen>>>);

/// A span when it was closed, or an event.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name; that of an event says where it is.
    pub name: &'static str,
    /// Where it comes from.
    pub target: &'static str,
    /// Its level.
    pub level: Level,
    /// The name of the span around it.
    pub within: Option<&'static str>,
    /// Its fields.
    pub fields: BTreeMap<&'static str, String>,
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Spans {
    /// Watches this thread until the guard is dropped: all of a test that has a runtime of one
    /// thread.
    #[must_use]
    pub fn watch(&self) -> DefaultGuard {
        tracing_subscriber::registry()
            .with(self.clone())
            .set_default()
    }

    /// Takes what was seen so far of those with a name.
    pub fn named(&self, name: &str) -> Vec<Seen> {
        let seen = self.0.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.name == name)
            .cloned()
            .collect()
    }

    /// Everything that was seen so far.
    pub fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    fn push(&self, of: &'static Metadata<'static>, within: Option<&'static str>, fields: Fields) {
        self.0.lock().unwrap().push(Seen {
            name: of.name(),
            target: of.target(),
            level: *of.level(),
            within,
            fields: fields.0,
        });
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(span.extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let within = context.event_span(event).map(|span| span.name());
        self.push(event.metadata(), within, fields);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let fields = span.extensions_mut().remove::<Fields>().unwrap();
        self.push(
            span.metadata(),
            span.parent().map(|span| span.name()),
            fields,
        );
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
