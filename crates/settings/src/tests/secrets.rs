//! No output shows a value.

use proptest::prelude::*;

use super::{log_of, read};
use crate::Settings;
use crate::variable::NAMES;

/// Not a name, because the name of an unknown parameter is the one part of the URL that may be
/// shown.
const MARKER: &str = "hunter2!";

/// Puts the marker into a text that may otherwise be anything.
fn marked() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        "[0-9]{1,12}(ms|s|min|h)?",
        Just("postgres://".to_owned()),
        Just("postgresql://app:".to_owned()),
        Just("@db:5432,".to_owned()),
        Just("/agents?".to_owned()),
        Just("sslmode=".to_owned()),
        Just("&options=".to_owned()),
        Just("&target_session_attrs=".to_owned()),
        "[@:/?#&=%,\\[\\]]",
    ];
    (
        prop::collection::vec(piece, 0..6),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(mut pieces, at)| {
            pieces.insert(at.index(pieces.len() + 1), MARKER.to_owned());
            pieces.concat()
        })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
        1 => "DB_[A-Z_]{0,12}",
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn no_error_and_no_log_shows_a_value(
        variables in prop::collection::vec((name(), marked()), 0..8),
    ) {
        let mut result = None;
        let log = log_of(|| result = Some(Settings::from_iter(variables)));
        prop_assert!(!log.contains(MARKER), "{}", log);
        if let Some(Err(error)) = result {
            let shown = format!("{error} {error:?} {error:#?}");
            prop_assert!(!shown.contains(MARKER), "{}", shown);
        }
    }

    #[test]
    fn no_debug_output_shows_the_password(password in "[A-Za-z0-9]{8,20}") {
        let url = format!("postgres://app:{password}@db/agents?options=-cx%3d{password}");
        let settings = Settings::from_url(&url).unwrap();
        prop_assert_eq!(settings.password().unwrap().expose(), &password);
        let shown = format!("{settings:?} {settings:#?} {:?}", settings.password());
        prop_assert!(!shown.contains(&password), "{}", shown);
    }
}

#[test]
fn a_url_with_a_password_is_never_shown_with_what_is_wrong_in_it() {
    let log = log_of(|| {
        for url in [
            "postgres://app:hunter2!@db:port/agents",
            "postgres://app:hunter2!@db/agents?sslmode=require&password=hunter2!",
            "postgres://app:hunter2!%@db/agents",
            "postgres://app:hun@hunter2!@db/agents",
            "postgres//app:hunter2!@db/agents",
            "app:hunter2!@db",
            "hunter2!",
        ] {
            let error = read(&[("DATABASE_URL", url)]).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(MARKER), "{shown}");
        }
    });
    assert_eq!(log, "");
}
