//! Verifying the chunks of a thread.

use db::Row;

use super::leaf::shape;
use super::{OPERATION, PAGE, Verifying};
use crate::codec::ContentHash;
use crate::postgres::sql::{ChunksPage, LackingChunks};
use crate::postgres::wire::Jsonb;
use crate::{Finding, FindingKind, Result};

impl Verifying<'_> {
    /// Checks each chunk against its hash, and looks for those that it refers to.
    pub(super) async fn check_chunks(&mut self) -> Result<()> {
        let (mut last, mut lacking) = (Vec::new(), Vec::new());
        loop {
            let rows = self.chunks_after(&last).await?;
            let Some(end) = rows.last() else {
                self.check_below(&lacking).await?;
                return self.check_letters().await;
            };
            last = end.get("hash");
            for row in &rows {
                self.check_chunk(row).await?;
            }
            let lack = rows.iter().filter(|row| row.get("lacks_chunks"));
            lacking.extend(lack.filter_map(hash));
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
        let content: Option<Jsonb<'_>> = row.get("content");
        let refs: Option<&[u8]> = row.get("refs");
        self.shapes.nested |= content.is_some() && refs.is_some();
        let found = match hash(row) {
            Some(hash) => {
                let content = content.map(|Jsonb(content)| content);
                let found = shape(&hash, content, refs);
                found.map(|shape| self.shapes.note(hash, shape))
            }
            None => Err("has a hash that isn't 16 bytes long".to_owned()),
        };
        let Err(what) = found else {
            return Ok(());
        };
        self.shapes.damaged = true;
        let what = format!("chunk {} {what}", hex(row.get("hash")));
        self.found(Finding::new(FindingKind::ChunkDamaged, what))
            .await
    }

    /// Reports each missing chunk once, if a chunk refers to it that something needs.
    async fn check_below(&mut self, lacking: &[ContentHash]) -> Result<()> {
        if lacking.is_empty() {
            return Ok(());
        }
        let thread_id = self.thread.thread_id.as_str();
        let lacking = LackingChunks { thread_id, lacking };
        let store = &self.engine.store;
        let asked = store.sql.verify_missing.with(&lacking);
        for row in store.query(OPERATION, asked).await? {
            self.shapes.damaged = true;
            let (missing, above) = (hex(row.get("missing")), hex(row.get("above")));
            let what = format!("chunk {missing} is missing, which chunk {above} needs");
            self.found(Finding::new(FindingKind::ChunkMissing, what))
                .await?;
        }
        Ok(())
    }

    /// Looks for a reference that says less of its leaves than they hold. The checkpoints that may have it are
    /// read then.
    async fn check_letters(&mut self) -> Result<()> {
        if !self.shapes.nested {
            return Ok(());
        }
        let one = self.one();
        let store = &self.engine.store;
        let asked = store.sql.verify_letters.with(&one);
        let row = store.query_one(OPERATION, asked).await?;
        self.shapes.mislabelled = row.get("are_wrong");
        Ok(())
    }
}

/// A chunk's hash; none if no reference can name it.
fn hash(row: &Row) -> Option<ContentHash> {
    let stored: &[u8] = row.get("hash");
    stored.try_into().ok().map(ContentHash::from_bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
