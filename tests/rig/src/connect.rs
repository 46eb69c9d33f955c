//! Connections to a server: the settings of a pool, and the bare driver's.

use anyhow::{Context as _, Result};
use settings::Settings;
use tokio_postgres::{Client, NoTls};

/// The settings for the server of `url`, with further variables.
pub fn settings_for(url: &str, variables: &[(&str, &str)]) -> Settings {
    try_settings_for(url, variables).unwrap()
}

/// The same where they may be wrong.
pub fn try_settings_for(url: &str, variables: &[(&str, &str)]) -> settings::Result<Settings> {
    let own = [("DATABASE_URL", url)];
    Settings::from_iter(own.iter().chain(variables).copied())
}

/// A connection of the bare driver, to look from outside.
pub async fn client(url: &str) -> Result<Client> {
    let connected = tokio_postgres::connect(url, NoTls).await;
    let (client, driver) = connected.context("connect to the server")?;
    tokio::spawn(driver);
    Ok(client)
}
