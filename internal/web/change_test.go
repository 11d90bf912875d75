package web

import (
	"slices"
	"testing"
)

// What the API finds wrong is said by the labels of forms, in the language of the person.
func TestProblems(t *testing.T) {
	for _, row := range []struct {
		body   string
		en, zh []string
	}{
		{`{"message":"Failed to save group {:path=>[\"has already been taken\"]}"}`, []string{"Path: has already been taken"}, []string{"路径：已被占用"}},
		{`{"message":"Failed to save group {:name=>[\"can't be blank\"], :path=>[\"api is a reserved name\"]}"}`, []string{"Name: can't be blank", "Path: api is a reserved name"}, []string{"名称：不能为空", "路径：api 是保留名称"}},
		{`{"error":"name is empty, path is empty"}`, []string{"Name: is empty", "Path: is empty"}, []string{"名称：为空", "路径：为空"}},
		{`{"error":"npm_max_file_size is invalid"}`, []string{"Maximum file size, in bytes: is invalid"}, []string{"文件大小上限（字节）：无效"}},
		{`{"message":{"visibility_level":["public is not allowed in a private group."]}}`, []string{"Who may know of it: public is not allowed in a private group."}, []string{"可见范围：不能设为公开：所在群组为私有。"}},
		{`{"message":{"keep_n_versions":["must be between 0 and 1000000"]}}`, []string{"Versions to keep of each name: must be between 0 and 1000000"}, []string{"每个名称保留的版本数：必须在 0 与 1000000 之间"}},
		{`{"message":{"error":["Package name pattern has already been taken"]}}`, []string{"Package name pattern has already been taken"}, []string{"该名称模式已有规则"}},
		{`{"message":"403 Forbidden - Nobody has translated this, or will"}`, []string{"Nobody has translated this, or will"}, []string{"Nobody has translated this, or will"}},
		{`{"message":{"unheard_of":["is strange"]}}`, []string{"Unheard of: is strange"}, []string{"Unheard of：is strange"}},
	} {
		for i, want := range [][]string{row.en, row.zh} {
			a := &answer{}
			a.body.WriteString(row.body)
			if got := (&request{lang: locales[i]}).wrong(a); !slices.Equal(got, want) {
				t.Errorf("%s in %s: %q, want %q", row.body, locales[i].tag, got, want)
			}
		}
	}
}
