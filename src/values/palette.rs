//! The palette behind `BrickColor`: number, components and name of each color.
//!
//! Knows nothing about how a color travels. The numbers, names and components are those that the Roblox engine
//! reports, gaps and spelling included.

/// One color of the palette.
#[derive(Debug)]
pub(super) struct Swatch {
    pub(super) number: u16,
    /// `0xRRGGBB`.
    pub(super) rgb: u32,
    pub(super) name: &'static str,
}

/// Returns the color of this number, by binary search.
pub(super) const fn find(number: u16) -> Option<&'static Swatch> {
    // The search of slices takes a closure, which a const fn cannot call.
    let (mut low, mut high) = (0, PALETTE.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let swatch = &PALETTE[middle];
        if swatch.number == number {
            return Some(swatch);
        } else if swatch.number < number {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    None
}

const fn swatch(number: u16, rgb: u32, name: &'static str) -> Swatch {
    Swatch { number, rgb, name }
}

/// The numbers whose name leads to another number, because two colors share it.
pub(super) const SHADOWED: [u16; 4] = [127, 216, 219, 1017];

/// Every color, by rising number.
pub(super) static PALETTE: [Swatch; 208] = [
    swatch(1, 0xf2f3f3, "White"),
    swatch(2, 0xa1a5a2, "Grey"),
    swatch(3, 0xf9e999, "Light yellow"),
    swatch(5, 0xd7c59a, "Brick yellow"),
    swatch(6, 0xc2dab8, "Light green (Mint)"),
    swatch(9, 0xe8bac8, "Light reddish violet"),
    swatch(11, 0x80bbdb, "Pastel Blue"),
    swatch(12, 0xcb8442, "Light orange brown"),
    swatch(18, 0xcc8e69, "Nougat"),
    swatch(21, 0xc4281c, "Bright red"),
    swatch(22, 0xc470a0, "Med. reddish violet"),
    swatch(23, 0x0d69ac, "Bright blue"),
    swatch(24, 0xf5cd30, "Bright yellow"),
    swatch(25, 0x624732, "Earth orange"),
    swatch(26, 0x1b2a35, "Black"),
    swatch(27, 0x6d6e6c, "Dark grey"),
    swatch(28, 0x287f47, "Dark green"),
    swatch(29, 0xa1c48c, "Medium green"),
    swatch(36, 0xf3cf9b, "Lig. Yellowich orange"),
    swatch(37, 0x4b974b, "Bright green"),
    swatch(38, 0xa05f35, "Dark orange"),
    swatch(39, 0xc1cade, "Light bluish violet"),
    swatch(40, 0xececec, "Transparent"),
    swatch(41, 0xcd544b, "Tr. Red"),
    swatch(42, 0xc1dff0, "Tr. Lg blue"),
    swatch(43, 0x7bb6e8, "Tr. Blue"),
    swatch(44, 0xf7f18d, "Tr. Yellow"),
    swatch(45, 0xb4d2e4, "Light blue"),
    swatch(47, 0xd9856c, "Tr. Flu. Reddish orange"),
    swatch(48, 0x84b68d, "Tr. Green"),
    swatch(49, 0xf8f184, "Tr. Flu. Green"),
    swatch(50, 0xece8de, "Phosph. White"),
    swatch(100, 0xeec4b6, "Light red"),
    swatch(101, 0xda867a, "Medium red"),
    swatch(102, 0x6e99ca, "Medium blue"),
    swatch(103, 0xc7c1b7, "Light grey"),
    swatch(104, 0x6b327c, "Bright violet"),
    swatch(105, 0xe29b40, "Br. yellowish orange"),
    swatch(106, 0xda8541, "Bright orange"),
    swatch(107, 0x008f9c, "Bright bluish green"),
    swatch(108, 0x685c43, "Earth yellow"),
    swatch(110, 0x435493, "Bright bluish violet"),
    swatch(111, 0xbfb7b1, "Tr. Brown"),
    swatch(112, 0x6874ac, "Medium bluish violet"),
    swatch(113, 0xe5adc8, "Tr. Medi. reddish violet"),
    swatch(115, 0xc7d23c, "Med. yellowish green"),
    swatch(116, 0x55a5af, "Med. bluish green"),
    swatch(118, 0xb7d7d5, "Light bluish green"),
    swatch(119, 0xa4bd47, "Br. yellowish green"),
    swatch(120, 0xd9e4a7, "Lig. yellowish green"),
    swatch(121, 0xe7ac58, "Med. yellowish orange"),
    swatch(123, 0xd36f4c, "Br. reddish orange"),
    swatch(124, 0x923978, "Bright reddish violet"),
    swatch(125, 0xeab892, "Light orange"),
    swatch(126, 0xa5a5cb, "Tr. Bright bluish violet"),
    swatch(127, 0xdcbc81, "Gold"),
    swatch(128, 0xae7a59, "Dark nougat"),
    swatch(131, 0x9ca3a8, "Silver"),
    swatch(133, 0xd5733d, "Neon orange"),
    swatch(134, 0xd8dd56, "Neon green"),
    swatch(135, 0x74869d, "Sand blue"),
    swatch(136, 0x877c90, "Sand violet"),
    swatch(137, 0xe09864, "Medium orange"),
    swatch(138, 0x958a73, "Sand yellow"),
    swatch(140, 0x203a56, "Earth blue"),
    swatch(141, 0x27462d, "Earth green"),
    swatch(143, 0xcfe2f7, "Tr. Flu. Blue"),
    swatch(145, 0x7988a1, "Sand blue metallic"),
    swatch(146, 0x958ea3, "Sand violet metallic"),
    swatch(147, 0x938767, "Sand yellow metallic"),
    swatch(148, 0x575857, "Dark grey metallic"),
    swatch(149, 0x161d32, "Black metallic"),
    swatch(150, 0xabadac, "Light grey metallic"),
    swatch(151, 0x789082, "Sand green"),
    swatch(153, 0x957977, "Sand red"),
    swatch(154, 0x7b2e2f, "Dark red"),
    swatch(157, 0xfff67b, "Tr. Flu. Yellow"),
    swatch(158, 0xe1a4c2, "Tr. Flu. Red"),
    swatch(168, 0x756c62, "Gun metallic"),
    swatch(176, 0x97695b, "Red flip/flop"),
    swatch(178, 0xb48455, "Yellow flip/flop"),
    swatch(179, 0x898788, "Silver flip/flop"),
    swatch(180, 0xd7a94b, "Curry"),
    swatch(190, 0xf9d62e, "Fire Yellow"),
    swatch(191, 0xe8ab2d, "Flame yellowish orange"),
    swatch(192, 0x694028, "Reddish brown"),
    swatch(193, 0xcf6024, "Flame reddish orange"),
    swatch(194, 0xa3a2a5, "Medium stone grey"),
    swatch(195, 0x4667a4, "Royal blue"),
    swatch(196, 0x23478b, "Dark Royal blue"),
    swatch(198, 0x8e4285, "Bright reddish lilac"),
    swatch(199, 0x635f62, "Dark stone grey"),
    swatch(200, 0x828a5d, "Lemon metalic"),
    swatch(208, 0xe5e4df, "Light stone grey"),
    swatch(209, 0xb08e44, "Dark Curry"),
    swatch(210, 0x709578, "Faded green"),
    swatch(211, 0x79b5b5, "Turquoise"),
    swatch(212, 0x9fc3e9, "Light Royal blue"),
    swatch(213, 0x6c81b7, "Medium Royal blue"),
    swatch(216, 0x904c2a, "Rust"),
    swatch(217, 0x7c5c46, "Brown"),
    swatch(218, 0x96709f, "Reddish lilac"),
    swatch(219, 0x6b629b, "Lilac"),
    swatch(220, 0xa7a9ce, "Light lilac"),
    swatch(221, 0xcd6298, "Bright purple"),
    swatch(222, 0xe4adc8, "Light purple"),
    swatch(223, 0xdc9095, "Light pink"),
    swatch(224, 0xf0d5a0, "Light brick yellow"),
    swatch(225, 0xebb87f, "Warm yellowish orange"),
    swatch(226, 0xfdea8d, "Cool yellow"),
    swatch(232, 0x7dbbdd, "Dove blue"),
    swatch(268, 0x342b75, "Medium lilac"),
    swatch(301, 0x506d54, "Slime green"),
    swatch(302, 0x5b5d69, "Smoky grey"),
    swatch(303, 0x0010b0, "Dark blue"),
    swatch(304, 0x2c651d, "Parsley green"),
    swatch(305, 0x527cae, "Steel blue"),
    swatch(306, 0x335882, "Storm blue"),
    swatch(307, 0x102adc, "Lapis"),
    swatch(308, 0x3d1585, "Dark indigo"),
    swatch(309, 0x348e40, "Sea green"),
    swatch(310, 0x5b9a4c, "Shamrock"),
    swatch(311, 0x9fa1ac, "Fossil"),
    swatch(312, 0x592259, "Mulberry"),
    swatch(313, 0x1f801d, "Forest green"),
    swatch(314, 0x9fadc0, "Cadet blue"),
    swatch(315, 0x0989cf, "Electric blue"),
    swatch(316, 0x7b007b, "Eggplant"),
    swatch(317, 0x7c9c6b, "Moss"),
    swatch(318, 0x8aab85, "Artichoke"),
    swatch(319, 0xb9c4b1, "Sage green"),
    swatch(320, 0xcacbd1, "Ghost grey"),
    swatch(321, 0xa75e9b, "Lilac"),
    swatch(322, 0x7b2f7b, "Plum"),
    swatch(323, 0x94be81, "Olivine"),
    swatch(324, 0xa8bd99, "Laurel green"),
    swatch(325, 0xdfdfde, "Quill grey"),
    swatch(327, 0x970000, "Crimson"),
    swatch(328, 0xb1e5a6, "Mint"),
    swatch(329, 0x98c2db, "Baby blue"),
    swatch(330, 0xff98dc, "Carnation pink"),
    swatch(331, 0xff5959, "Persimmon"),
    swatch(332, 0x750000, "Maroon"),
    swatch(333, 0xefb838, "Gold"),
    swatch(334, 0xf8d96d, "Daisy orange"),
    swatch(335, 0xe7e7ec, "Pearl"),
    swatch(336, 0xc7d4e4, "Fog"),
    swatch(337, 0xff9494, "Salmon"),
    swatch(338, 0xbe6862, "Terra Cotta"),
    swatch(339, 0x562424, "Cocoa"),
    swatch(340, 0xf1e7c7, "Wheat"),
    swatch(341, 0xfef3bb, "Buttermilk"),
    swatch(342, 0xe0b2d0, "Mauve"),
    swatch(343, 0xd490bd, "Sunrise"),
    swatch(344, 0x965555, "Tawny"),
    swatch(345, 0x8f4c2a, "Rust"),
    swatch(346, 0xd3be96, "Cashmere"),
    swatch(347, 0xe2dcbc, "Khaki"),
    swatch(348, 0xedeaea, "Lily white"),
    swatch(349, 0xe9dada, "Seashell"),
    swatch(350, 0x883e3e, "Burgundy"),
    swatch(351, 0xbc9b5d, "Cork"),
    swatch(352, 0xc7ac78, "Burlap"),
    swatch(353, 0xcabfa3, "Beige"),
    swatch(354, 0xbbb3b2, "Oyster"),
    swatch(355, 0x6c584b, "Pine Cone"),
    swatch(356, 0xa0844f, "Fawn brown"),
    swatch(357, 0x958988, "Hurricane grey"),
    swatch(358, 0xaba89e, "Cloudy grey"),
    swatch(359, 0xaf9483, "Linen"),
    swatch(360, 0x966766, "Copper"),
    swatch(361, 0x564236, "Dirt brown"),
    swatch(362, 0x7e683f, "Bronze"),
    swatch(363, 0x69665c, "Flint"),
    swatch(364, 0x5a4c42, "Dark taupe"),
    swatch(365, 0x6a3909, "Burnt Sienna"),
    swatch(1001, 0xf8f8f8, "Institutional white"),
    swatch(1002, 0xcdcdcd, "Mid gray"),
    swatch(1003, 0x111111, "Really black"),
    swatch(1004, 0xff0000, "Really red"),
    swatch(1005, 0xffb000, "Deep orange"),
    swatch(1006, 0xb480ff, "Alder"),
    swatch(1007, 0xa34b4b, "Dusty Rose"),
    swatch(1008, 0xc1be42, "Olive"),
    swatch(1009, 0xffff00, "New Yeller"),
    swatch(1010, 0x0000ff, "Really blue"),
    swatch(1011, 0x002060, "Navy blue"),
    swatch(1012, 0x2154b9, "Deep blue"),
    swatch(1013, 0x04afec, "Cyan"),
    swatch(1014, 0xaa5500, "CGA brown"),
    swatch(1015, 0xaa00aa, "Magenta"),
    swatch(1016, 0xff66cc, "Pink"),
    swatch(1017, 0xffaf00, "Deep orange"),
    swatch(1018, 0x12eed4, "Teal"),
    swatch(1019, 0x00ffff, "Toothpaste"),
    swatch(1020, 0x00ff00, "Lime green"),
    swatch(1021, 0x3a7d15, "Camo"),
    swatch(1022, 0x7f8e64, "Grime"),
    swatch(1023, 0x8c5b9f, "Lavender"),
    swatch(1024, 0xafddff, "Pastel light blue"),
    swatch(1025, 0xffc9c9, "Pastel orange"),
    swatch(1026, 0xb1a7ff, "Pastel violet"),
    swatch(1027, 0x9ff3e9, "Pastel blue-green"),
    swatch(1028, 0xccffcc, "Pastel green"),
    swatch(1029, 0xffffcc, "Pastel yellow"),
    swatch(1030, 0xffcc99, "Pastel brown"),
    swatch(1031, 0x6225d1, "Royal purple"),
    swatch(1032, 0xff00bf, "Hot pink"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn numbers_rise_so_that_the_search_finds_each() {
        assert!(PALETTE.is_sorted_by(|a, b| a.number < b.number));
        for swatch in &PALETTE {
            assert_eq!(find(swatch.number).unwrap().name, swatch.name);
        }
        let found = (0..=u16::MAX)
            .filter(|&number| find(number).is_some())
            .count();
        assert_eq!(found, PALETTE.len());
    }

    #[test]
    fn names_are_unique_but_for_the_four_shared_ones() {
        let mut numbers = BTreeMap::<_, Vec<_>>::new();
        for swatch in &PALETTE {
            numbers.entry(swatch.name).or_default().push(swatch.number);
        }
        numbers.retain(|_, numbers| numbers.len() > 1);
        let shared = [
            ("Deep orange", vec![1005, 1017]),
            ("Gold", vec![127, 333]),
            ("Lilac", vec![219, 321]),
            ("Rust", vec![216, 345]),
        ];
        assert_eq!(numbers, BTreeMap::from(shared));
    }

    #[test]
    fn components_fit_three_bytes() {
        assert!(PALETTE.iter().all(|swatch| swatch.rgb <= 0xff_ff_ff));
    }
}
