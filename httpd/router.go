package httpd

import (
	"net/http"
	"net/url"
	"strings"
)

// router finds what a path names. A ServeMux takes the segment %2F, which is the
// usual vhost's name, for a slash, and cleans up names such as "..".
type router struct {
	fixed map[string]*router
	any   *router  // where the segment is a name; fixed ones go first
	names []string // of the segments that are names, where a path ends here
	to    map[string]action
}

// add makes a path known. Segments in braces are names.
func (rt *router) add(path string, to map[string]action) {
	var names []string
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			names = append(names, strings.TrimSuffix(name, "}"))
			if rt.any == nil {
				rt.any = &router{}
			}
			rt = rt.any
			continue
		}
		if rt.fixed == nil {
			rt.fixed = map[string]*router{}
		}
		if rt.fixed[segment] == nil {
			rt.fixed[segment] = &router{}
		}
		rt = rt.fixed[segment]
	}
	rt.names, rt.to = names, to
}

// find returns what a request's path names, or nil, and gives the request the names
// in it. A slash at the end changes nothing. Nothing has an empty name but the default
// exchange, which is amq.default from here on.
func (rt *router) find(r *http.Request) map[string]action {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	var segments []string
	for segment := range strings.SplitSeq(path, "/") {
		name, err := url.PathUnescape(segment)
		if err != nil {
			return nil
		}
		segments = append(segments, name)
	}
	var values []string
	end := rt.walk(segments, &values)
	if end == nil {
		return nil
	}
	for i, name := range end.names {
		if values[i] == "" {
			if name != "source" {
				return nil
			}
			values[i] = "amq.default"
		}
		r.SetPathValue(name, values[i])
	}
	return end.to
}

func (rt *router) walk(segments []string, values *[]string) *router {
	if len(segments) == 0 {
		if rt.to == nil {
			return nil
		}
		return rt
	}
	if next := rt.fixed[segments[0]]; next != nil {
		if end := next.walk(segments[1:], values); end != nil {
			return end
		}
	}
	if rt.any == nil {
		return nil
	}
	n := len(*values)
	*values = append(*values, segments[0])
	if end := rt.any.walk(segments[1:], values); end != nil {
		return end
	}
	*values = (*values)[:n]
	return nil
}
