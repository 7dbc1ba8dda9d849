package httpd

import (
	"reflect"
	"strings"
	"sync"
)

// An object is cut to columns without being made JSON as a whole first: who asks for a
// few columns asks because there are many objects.

// cutObject keeps some fields of what is shown of an object; those with dots are within
// others.
func cutObject(v any, columns string) map[string]any {
	object := reflect.ValueOf(v)
	if object.Kind() != reflect.Struct {
		return cutRow(mustRow(v), columns)
	}
	fields := fieldsOf(object.Type())
	out := map[string]any{}
	for name := range strings.SplitSeq(columns, ",") {
		if f, ok := fields[name]; ok {
			if value, ok := f.of(object); ok {
				out[name] = value
			}
			continue
		}
		first, _, within := strings.Cut(name, ".")
		f, ok := fields[first]
		if !ok || !within {
			continue
		}
		if value, ok := f.of(object); ok {
			row, _ := rowOf(value) // nil where it is no object
			cutField(out, map[string]any{first: row}, name)
		}
	}
	return out
}

// fieldPath is where a field of a struct's JSON is in the struct.
type fieldPath struct {
	index     []int
	omitEmpty bool
}

// of is the field's value; ok is false where JSON would not have it.
func (p *fieldPath) of(object reflect.Value) (value any, ok bool) {
	f, err := object.FieldByIndexErr(p.index)
	if err != nil || p.omitEmpty && empty(f) {
		return nil, false
	}
	return f.Interface(), true
}

// empty is what encoding/json takes for empty.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

var structFields sync.Map // of reflect.Type: map[string]*fieldPath

// fieldsOf are the fields of a struct's JSON by name.
func fieldsOf(t reflect.Type) map[string]*fieldPath {
	if known, ok := structFields.Load(t); ok {
		return known.(map[string]*fieldPath)
	}
	fields := map[string]*fieldPath{}
	addFields(fields, t, nil)
	structFields.Store(t, fields)
	return fields
}

func addFields(to map[string]*fieldPath, t reflect.Type, index []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(index[:len(index):len(index)], i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			addFields(to, inner, at)
			continue
		}
		if f.IsExported() && name != "" && name != "-" {
			to[name] = &fieldPath{at, options == "omitempty"}
		}
	}
}
