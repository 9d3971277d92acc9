// Package sitefile reads and writes lwc.toml, the one file that a box gets at its
// site: where its cloud is, the one-time token, and what its two ports are.
//
// [Parse] checks a file as a whole. Its error is [Problems]: each with line and
// column, what is wrong, and what to do. The text may come from anywhere: it is
// bounded, it may be UTF-8 with or without a mark or UTF-16 with one, with the line
// ends of any system.
//
// [File.Daemon] is the configuration that lwcd gets, [File.Settings] the same file
// without its token, [Template] a file to fill in. [Scrub] overwrites the token in
// the bytes of a file.
package sitefile
