// Package terminal is how the commands write for people: tables whose columns are
// aligned by what a terminal shows (wide and combining characters too), numbers with
// units, colours where there is a terminal that wants them, and passwords that are not
// shown. What users have named is written so that it cannot steer the terminal.
package terminal
