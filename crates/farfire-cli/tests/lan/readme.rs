//! The screens in the README are what the program prints.
