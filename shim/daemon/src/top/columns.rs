//! Which columns of a table a terminal has room for.

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) width: u16,
    /// The lower, the longer it stays as the terminal gets narrower.
    pub(super) rank: u8,
    /// Whether what it has stands at its right, its title too.
    pub(super) is_number: bool,
}

/// Returns one of that title; `rank` is the lower, the longer it stays.
pub(super) const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, width, rank, is_number: false }
}

/// Returns one of numbers.
pub(super) const fn numbers(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, width, rank, is_number: true }
}

/// Returns which columns are shown where `room` is left, in their order: at least one, cut off if need be.
pub(super) fn shown(columns: &[Column], room: u16) -> Vec<usize> {
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|index| columns[*index].rank);
    let (mut shown, mut left) = (Vec::new(), room);
    for index in by_rank {
        // A blank between two.
        let width = columns[index].width + u16::from(!shown.is_empty());
        if width > left && !shown.is_empty() {
            break;
        }
        left = left.saturating_sub(width);
        shown.push(index);
    }
    shown.sort_unstable();
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_most_stays_the_longest() {
        let columns = [column("peer", 10, 1), column("target", 20, 0), column("moved", 15, 2)];
        for (room, expected) in
            [(0, &[1][..]), (20, &[1]), (30, &[1]), (31, &[0, 1]), (46, &[0, 1]), (47, &[0, 1, 2])]
        {
            assert_eq!(shown(&columns, room), expected, "{room}");
        }
    }
}
