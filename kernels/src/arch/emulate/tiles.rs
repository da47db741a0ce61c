// SPDX-License-Identifier: AGPL-3.0-or-later
//! The tiles of AMX and the instructions on them (Intel SDM volume 2).

use super::Fault;

/// Tiles of palette 1: eight of up to 16 rows of up to 64 bytes.
pub(super) struct Tiles {
    pub(super) configured: bool,
    pub(super) start_row: usize,
    pub(super) shapes: [Shape; 8],
    pub(super) data: [[[u8; 64]; 16]; 8],
    /// Instructions run since the thread began, for tests that count them.
    pub(super) counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) row_bytes: usize,
}

/// How many instructions of each kind were emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::arch) struct Counts {
    pub(in crate::arch) configurations: u64,
    pub(in crate::arch) loads: u64,
    pub(in crate::arch) stores: u64,
    pub(in crate::arch) products: u64,
}

impl Tiles {
    pub(super) const fn new() -> Self {
        Self {
            configured: false,
            start_row: 0,
            shapes: [Shape { rows: 0, row_bytes: 0 }; 8],
            data: [[[0; 64]; 16]; 8],
            counts: Counts { configurations: 0, loads: 0, stores: 0, products: 0 },
        }
    }

    /// `ldtilecfg`; a configuration of zeros is `tilerelease`.
    pub(super) fn configure(&mut self, config: &[u8; 64]) -> Result<(), Fault> {
        let mut shapes = [Shape { rows: 0, row_bytes: 0 }; 8];
        match config[0] {
            0 => {}
            1 => {
                let zeros = |bytes: &[u8]| bytes.iter().all(|&b| b == 0);
                if !zeros(&config[2..16]) || !zeros(&config[32..48]) || !zeros(&config[56..]) {
                    return Err("ldtilecfg: a reserved byte is not zero");
                }
                for (i, shape) in shapes.iter_mut().enumerate() {
                    let row_bytes = u16::from_le_bytes([config[16 + 2 * i], config[17 + 2 * i]]);
                    *shape = Shape { rows: config[48 + i].into(), row_bytes: row_bytes.into() };
                    if shape.rows > 16 || shape.row_bytes > 64 {
                        return Err("ldtilecfg: more than 16 rows or 64 bytes a row");
                    }
                    if (shape.rows == 0) != (shape.row_bytes == 0) {
                        return Err("ldtilecfg: rows without bytes or bytes without rows");
                    }
                }
            }
            _ => return Err("ldtilecfg: no such palette"),
        }
        let mut counts = self.counts;
        counts.configurations += u64::from(config[0] != 0);
        *self = Self { shapes, configured: config[0] != 0, counts, ..Self::new() };
        self.start_row = if self.configured { config[1].into() } else { 0 };
        Ok(())
    }

    /// What `sttilecfg` writes.
    pub(super) fn config(&self) -> [u8; 64] {
        let mut config = [0; 64];
        config[0] = self.configured.into();
        config[1] = self.start_row as u8;
        for (i, shape) in self.shapes.iter().enumerate() {
            config[16 + 2 * i] = shape.row_bytes as u8;
            config[48 + i] = shape.rows as u8;
        }
        config
    }

    pub(super) fn shape(&self, tile: usize) -> Result<Shape, Fault> {
        let shape = self.shapes[tile];
        if !self.configured {
            return Err("tiles are not configured");
        }
        if shape.rows == 0 {
            return Err("this tile is not configured");
        }
        Ok(shape)
    }

    /// The shape of a tile that is loaded, stored or multiplied: whole 32-bit words.
    pub(super) fn shape_in_words(&self, tile: usize) -> Result<Shape, Fault> {
        let shape = self.shape(tile)?;
        if shape.row_bytes % 4 != 0 {
            return Err("this tile's rows are not whole 32-bit words");
        }
        Ok(shape)
    }

    /// `tilezero`.
    pub(super) fn zero(&mut self, tile: usize) -> Result<(), Fault> {
        self.shape(tile)?;
        self.data[tile] = [[0; 64]; 16];
        self.start_row = 0;
        Ok(())
    }

    /// The first row to load or store, and the tile's shape.
    pub(super) fn start(&self, tile: usize) -> Result<(usize, Shape), Fault> {
        let shape = self.shape_in_words(tile)?;
        if self.start_row >= shape.rows {
            return Err("start_row lies outside this tile");
        }
        Ok((self.start_row, shape))
    }

    /// `tileloadd`: `row(r, out)` reads a row. What lies outside the shape becomes zero.
    pub(super) fn load(
        &mut self,
        tile: usize,
        mut row: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), Fault> {
        let (start, shape) = self.start(tile)?;
        for (r, out) in self.data[tile].iter_mut().enumerate().skip(start) {
            *out = [0; 64];
            if r < shape.rows {
                row(r, &mut out[..shape.row_bytes]);
            }
        }
        self.start_row = 0;
        self.counts.loads += 1;
        Ok(())
    }

    /// `tilestored`: `row(r, bytes)` writes a row.
    pub(super) fn store(
        &mut self,
        tile: usize,
        mut row: impl FnMut(usize, &[u8]),
    ) -> Result<(), Fault> {
        let (start, shape) = self.start(tile)?;
        for (r, bytes) in self.data[tile].iter().enumerate().take(shape.rows).skip(start) {
            row(r, &bytes[..shape.row_bytes]);
        }
        self.start_row = 0;
        self.counts.stores += 1;
        Ok(())
    }

    /// `tdpb..d`: `sums[m][n] += Σ_k Σ_j first[m][k][j] · second[k][n][j]`, without saturation.
    pub(super) fn dot(
        &mut self,
        signed: [bool; 2],
        sums: usize,
        first: usize,
        second: usize,
    ) -> Result<(), Fault> {
        if sums == first || sums == second || first == second {
            return Err("tdpb: two operands are the same tile");
        }
        let [c, a, b] = [sums, first, second].map(|tile| self.shape_in_words(tile));
        let (c, a, b) = (c?, a?, b?);
        if c.rows != a.rows {
            return Err("tdpb: sums and first factor differ in rows");
        }
        if c.row_bytes != b.row_bytes {
            return Err("tdpb: sums and second factor differ in columns");
        }
        if a.row_bytes / 4 != b.rows {
            return Err("tdpb: columns of the first factor are not the rows of the second");
        }
        let widen = |tile: &[[u8; 64]; 16], signed: bool| {
            tile.map(|row| row.map(|v| if signed { i32::from(v as i8) } else { i32::from(v) }))
        };
        let first = widen(&self.data[first], signed[0]);
        let second = widen(&self.data[second], signed[1]);
        for (m, out) in self.data[sums].iter_mut().enumerate() {
            let mut row = [0i32; 16];
            for (n, sum) in row.iter_mut().enumerate() {
                if m < c.rows && n < c.row_bytes / 4 {
                    *sum = i32::from_le_bytes([0, 1, 2, 3].map(|j| out[4 * n + j]));
                }
            }
            // Beyond the shapes both factors are zeros.
            for k in 0..16 {
                for (n, sum) in row.iter_mut().enumerate() {
                    for j in 0..4 {
                        let product = first[m][4 * k + j] * second[k][4 * n + j];
                        *sum = sum.wrapping_add(product);
                    }
                }
            }
            for (n, sum) in row.iter().enumerate() {
                out[4 * n..4 * n + 4].copy_from_slice(&sum.to_le_bytes());
            }
        }
        self.start_row = 0;
        self.counts.products += 1;
        Ok(())
    }
}
