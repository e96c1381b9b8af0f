package ftl

import (
	"reflect"
	"strings"
)

func isStruct[T any]() bool {
	return reflect.TypeFor[T]().Kind() == reflect.Struct
}

func schemaOf[T any]() map[string]any {
	return schema(reflect.TypeFor[T]())
}

// schema gives the JSON Schema of what encoding/json reads into a type, or panics for one that it knows none for.
func schema(of reflect.Type) map[string]any {
	switch of.Kind() {
	case reflect.Struct:
		return object(of)
	case reflect.Pointer:
		return schema(of.Elem())
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schema(of.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schema(of.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer"}
	default:
		panic("ftl: no JSON Schema for " + of.String())
	}
}

func object(of reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for index := range of.NumField() {
		field := of.Field(index)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		property := schema(field.Type)
		if doc := field.Tag.Get("doc"); doc != "" {
			property["description"] = doc
		}
		properties[name] = property
		if !strings.Contains(options, "omitempty") {
			required = append(required, name)
		}
	}
	return map[string]any{
		"type":                 "object",
		"properties":           properties,
		"required":             required,
		"additionalProperties": false,
	}
}
