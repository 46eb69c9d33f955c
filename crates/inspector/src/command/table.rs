//! Tables.

use comfy_table::{ColumnConstraint, ContentArrangement};
use inspector::visible;

use super::output::Output;

/// A table with a header. If it is too wide for the terminal, the last column is folded: ids in the
/// others can still be copied.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(header);
        Self(table)
    }

    /// Adds a row. What is hidden in its texts becomes visible.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cells = cells.iter().map(|cell| visible(cell));
        self.0.add_row(cells);
    }

    pub(crate) fn print(mut self, output: &mut Output) -> anyhow::Result<()> {
        if let Some(width) = output.width() {
            self.0.set_content_arrangement(ContentArrangement::Dynamic);
            self.0.set_width(width);
            let last = self.0.column_count().saturating_sub(1);
            for column in self.0.column_iter_mut().take(last) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for line in self.0.lines() {
            output.line(line.trim_end())?;
        }
        Ok(())
    }
}
