//! Verifying the chunks of a thread.

use std::collections::HashSet;

use db::Row;

use super::leaf::shape;
use super::{OPERATION, PAGE, Verifying};
use crate::codec::ContentHash;
use crate::postgres::sql::ChunksPage;
use crate::postgres::wire::Jsonb;
use crate::{Finding, FindingKind, Result};

impl Verifying<'_> {
    /// Checks each chunk against its hash, and looks for those that it refers to.
    pub(super) async fn check_chunks(&mut self) -> Result<()> {
        let mut last = Vec::new();
        let mut missing = HashSet::new();
        loop {
            let rows = self.chunks_after(&last).await?;
            let Some(end) = rows.last() else {
                return Ok(());
            };
            last = end.get("hash");
            for row in &rows {
                self.check_chunk(row).await?;
                self.check_below(row, &mut missing).await?;
            }
        }
    }

    async fn chunks_after(&self, last_hash: &[u8]) -> Result<Vec<Row>> {
        let page = ChunksPage {
            thread_id: self.thread.thread_id.as_str(),
            last_hash,
        };
        let store = &self.engine.store;
        let asked = store.sql.verify_chunks.with((&page, &PAGE));
        store.query(OPERATION, asked).await
    }

    async fn check_chunk(&mut self, row: &Row) -> Result<()> {
        self.thread.chunks += 1;
        let stored: &[u8] = row.get("hash");
        let content: Option<Jsonb<'_>> = row.get("content");
        let found = match stored.try_into().map(ContentHash::from_bytes) {
            Ok(hash) => {
                let content = content.map(|Jsonb(content)| content);
                let found = shape(&hash, content, row.get("refs"));
                found.map(|shape| self.shapes.note(hash, shape))
            }
            Err(_) => Err("has a hash that isn't 16 bytes long".to_owned()),
        };
        let Err(what) = found else {
            return Ok(());
        };
        self.shapes.damaged = true;
        let what = format!("chunk {} {what}", hex(stored));
        self.found(Finding::new(FindingKind::ChunkDamaged, what))
            .await
    }

    /// Reports each missing chunk once.
    async fn check_below(&mut self, row: &Row, known: &mut HashSet<Vec<u8>>) -> Result<()> {
        let missing: Vec<Vec<u8>> = row.get("missing");
        for hash in missing {
            self.shapes.damaged = true;
            let above = hex(row.get("hash"));
            let what = format!("chunk {} is missing, which chunk {above} needs", hex(&hash));
            if known.insert(hash) {
                self.found(Finding::new(FindingKind::ChunkMissing, what))
                    .await?;
            }
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
