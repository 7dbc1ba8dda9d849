package access

import (
	"slices"
	"strings"
)

// Tags that mean something.
const (
	Administrator = "administrator"
	Monitoring    = "monitoring"
	Policymaker   = "policymaker"
	Management    = "management"
	Impersonator  = "impersonator"
)

// User is somebody who may connect. Whoever holds one does not change what it
// points to.
type User struct {
	Name   string
	Hash   Hash // zero: no password lets this user in
	Tags   []string
	Limits Limits // max-connections, max-channels
}

// HasTag tells whether the user has a tag.
func (u *User) HasTag(tag string) bool { return slices.Contains(u.Tags, tag) }

// ParseTags splits a list of tags at commas, as the management API takes it.
func ParseTags(list string) []string {
	tags := []string{}
	for tag := range strings.SplitSeq(list, ",") {
		if tag = strings.TrimSpace(tag); tag != "" && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags
}
