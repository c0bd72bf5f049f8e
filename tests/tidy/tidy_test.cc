// The house style as a test. First each rule is shown to find what it is for, on snippets; then all
// run over the tree.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tidy/checks.h"

namespace hadal::tidy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

SourceTree TreeOf(const std::vector<SourceFile>& files) {
  SourceTree tree;
  for (const SourceFile& file : files) {
    tree.emplace(file.path, file);
  }
  return tree;
}

// "line: text" of each finding.
std::vector<std::string> Texts(const Findings& findings) {
  std::vector<std::string> texts;
  for (const Finding& finding : findings) {
    texts.push_back(absl::StrFormat("%d: %s", finding.line, finding.text));
  }
  return texts;
}

TEST(TidySourceTest, PathsAreTakenApart) {
  EXPECT_EQ(FolderOf("engine/text/bpe.cc"), "engine/text");
  EXPECT_EQ(FolderOf("README.md"), "");
  EXPECT_EQ(NounOf("tests/base/json_test.cc"), "json");
  EXPECT_EQ(NounOf("kernels/linear.h"), "linear");
  EXPECT_EQ(NounOf("_test.cc"), "_test");
  EXPECT_TRUE(IsUnder("engine/api/x.h", "engine/api"));
  EXPECT_TRUE(IsUnder("server/main.cc", "server/main.cc"));
  EXPECT_FALSE(IsUnder("engine/apiary/x.h", "engine/api"));
}

TEST(TidySourceTest, CommentsAndLiteralsAreStripped) {
  EXPECT_EQ(StripCommentsAndLiterals("a // new\nb"), "a       \nb");
  EXPECT_EQ(StripCommentsAndLiterals("a /* new\nnew */ b"), "a       \n       b");
  EXPECT_EQ(StripCommentsAndLiterals("f(\"new \\\" x\", 'n')"), "f(\"        \", ' ')");
  EXPECT_EQ(StripCommentsAndLiterals("R\"(new \" )\" x"), std::string(12, ' ') + "x");
  EXPECT_EQ(StripCommentsAndLiterals("1'000 + new"), "1'000 + new");
}

TEST(TidySourceTest, ListsSkipCommentsAndBlankLines) {
  EXPECT_THAT(EntriesOf("# why\n\n  a b \nc # d\n"), ElementsAre("a b", "c # d"));
}

class TidyIncludesTest : public testing::Test {
 protected:
  std::vector<std::string> Find(const std::string& path, const std::string& text) {
    const auto layers = ParseLayers(
        "include base:\ninclude kernels: base\ninclude engine: kernels base\n"
        "include scheduler: engine/api base\ninclude server/main.cc: *\ninclude tests: *\n"
        "headers base: absl\nsources base: absl spdlog\nheaders kernels:\n"
        "sources kernels: absl/strings\nsystem: sys sched.h\ngenerated: proto\n");
    EXPECT_TRUE(layers.ok());
    const SourceTree tree = TreeOf({{"base/log.h", ""},
                                    {"kernels/linear.h", ""},
                                    {"engine/api/batch.h", ""},
                                    {"engine/model.h", ""},
                                    {"tests/support/compare.h", ""}});
    return Texts(CheckIncludes({path, text}, tree, *layers));
  }
};

TEST_F(TidyIncludesTest, DirectionIsDown) {
  EXPECT_THAT(Find("kernels/a.cc", "#include \"base/log.h\"\n#include \"kernels/linear.h\"\n"),
              IsEmpty());
  EXPECT_THAT(Find("base/a.cc", "\n#include \"kernels/linear.h\"\n"),
              ElementsAre("2: base must not include kernels/linear.h"));
  EXPECT_THAT(Find("scheduler/a.cc", "#include \"engine/api/batch.h\"\n"), IsEmpty());
  EXPECT_THAT(Find("scheduler/a.cc", "#include \"engine/model.h\"\n"),
              ElementsAre("1: scheduler must not include engine/model.h"));
}

TEST_F(TidyIncludesTest, NothingIncludesTestsButTests) {
  const std::string text = "#include \"tests/support/compare.h\"\n";
  EXPECT_THAT(Find("tests/base/a.cc", text), IsEmpty());
  EXPECT_THAT(Find("server/main.cc", text),
              ElementsAre("1: server/main.cc must not include tests/support/compare.h"));
}

TEST_F(TidyIncludesTest, PathsStartAtTheRoot) {
  for (const std::string included : {"log.h", "../base/log.h", "base/lost.h"}) {
    EXPECT_THAT(Find("base/a.cc", "#include \"" + included + "\"\n"),
                ElementsAre("1: \"" + included + "\" is no path from the root"));
  }
  EXPECT_THAT(Find("tests/a.cc", "#include \"proto/hadal.pb.h\"\n"), IsEmpty());
  EXPECT_THAT(Find("elsewhere/a.cc", "#include \"base/log.h\"\n"),
              ElementsAre("1: tests/tidy/layers.txt has no line for this folder"));
}

TEST_F(TidyIncludesTest, ThirdPartyOnlyWhereListed) {
  EXPECT_THAT(Find("base/a.h", "#include <vector>\n#include <sys/stat.h>\n#include <sched.h>\n"),
              IsEmpty());
  EXPECT_THAT(Find("base/a.cc", "#include <spdlog/spdlog.h>\n"), IsEmpty());
  EXPECT_THAT(Find("base/a.h", "#include <spdlog/spdlog.h>\n"),
              ElementsAre("1: headers here must not include <spdlog/spdlog.h>"));
  EXPECT_THAT(Find("kernels/a.cc", "#include <absl/strings/str_join.h>\n"), IsEmpty());
  EXPECT_THAT(Find("kernels/a.h", "#include <absl/strings/str_join.h>\n"),
              ElementsAre("1: headers here must not include <absl/strings/str_join.h>"));
  EXPECT_THAT(Find("kernels/cuda/a.cu", "#include <absl/strings/str_join.h>\n"),
              ElementsAre("1: headers here must not include <absl/strings/str_join.h>"));
  EXPECT_THAT(Find("kernels/a.cc", "#include <stdio.h>\n"),
              ElementsAre("1: sources here must not include <stdio.h>"));
}

TEST(TidyListsTest, BrokenListsAreErrors) {
  EXPECT_FALSE(ParseLayers("include base").ok());
  EXPECT_FALSE(ParseLayers("layer base: x").ok());
  EXPECT_FALSE(ParseLimits("a.cc 700").ok());
  EXPECT_FALSE(ParseLimits("a.cc many because").ok());
  EXPECT_FALSE(ParseWords("goto | while").ok());
}

TEST(TidySizeTest, LimitsByKindOfFile) {
  const auto find = [](const std::string& path, int num_lines, const Limits& limits) {
    std::string text;
    for (int i = 0; i < num_lines; ++i) {
      text += '\n';
    }
    return CheckSize({path, text}, limits);
  };
  const std::vector<std::pair<std::string, int>> kinds = {{"base/a.cc", 500},
                                                          {"base/a.h", 200},
                                                          {"kernels/cuda/a.cu", 600},
                                                          {"tests/a_test.cc", 600},
                                                          {"tools/a.py", 500}};
  for (const auto& [path, limit] : kinds) {
    EXPECT_THAT(find(path, limit, {}), IsEmpty());
    EXPECT_THAT(
        Texts(find(path, limit + 1, {})),
        ElementsAre(absl::StrFormat("%d: %d lines; the limit is %d: split by responsibility",
                                    limit + 1,
                                    limit + 1,
                                    limit)));
  }
  EXPECT_THAT(find("base/a.h", 210, {{"base/a.h", 210}}), IsEmpty());
  EXPECT_THAT(find("tests/golden/x.json", 9000, {}), IsEmpty());
}

TEST(TidyFoldersTest, NounsAreCountedOncePerPairAndWithoutOps) {
  SourceTree tree;
  for (int i = 0; i < 15; ++i) {
    const std::string stem = "kernels/noun" + std::to_string(i);
    tree.merge(TreeOf({{stem + ".h", ""}, {stem + ".cc", ""}, {"kernels/linear.h", ""}}));
  }
  EXPECT_THAT(CheckFolders(tree, {"linear"}, {}), IsEmpty());
  EXPECT_THAT(Texts(CheckFolders(tree, {}, {})),
              ElementsAre("1: 16 nouns; the limit is 15: make a sub-folder"));
  EXPECT_THAT(CheckFolders(tree, {}, {{"kernels", 16}}), IsEmpty());
}

TEST(TidyFoldersTest, NamesThatSayNothing) {
  for (const std::string path :
       {"base/utils.h", "base/helpers/a.cc", "common/a.py", "tests/base/misc_test.cc"}) {
    EXPECT_THAT(Texts(CheckFolders(TreeOf({{path, ""}}), {}, {})),
                ElementsAre("1: name what it is: not common, utils, misc or helpers"))
        << path;
  }
  EXPECT_THAT(CheckFolders(TreeOf({{"base/common_prefix.h", ""}}), {}, {}), IsEmpty());
}

TEST(TidyTwinsTest, OpsAreReadFromTheTable) {
  const SourceTree tree =
      TreeOf({{"kernels/kernel_table.h", "visit(\"linear\", x);\n visit(\"mlp\", y);"}});
  EXPECT_EQ(OpsOfTable(tree), (std::set<std::string>{"linear", "mlp"}));
}

TEST(TidyTwinsTest, EveryOpHasThreeFilesOrAnExcuse) {
  std::vector<SourceFile> files = {{"kernels/reference/mlp.cc", ""}};
  EXPECT_THAT(CheckTwins(TreeOf(files), {"mlp"}),
              ElementsAre(Finding{"kernels/cpu/mlp.cc",
                                  1,
                                  "missing: write it, or say why not in kernels/coverage.txt"},
                          Finding{"kernels/cuda/mlp.cu",
                                  1,
                                  "missing: write it, or say why not in kernels/coverage.txt"}));
  files.push_back({"kernels/cpu/mlp.cc", ""});
  files.push_back({"kernels/coverage.txt", "# list\ncuda/mlp.cu not yet\n"});
  EXPECT_THAT(CheckTwins(TreeOf(files), {"mlp"}), IsEmpty());
  files.push_back({"kernels/cuda/mlp.cu", ""});
  EXPECT_THAT(Texts(CheckTwins(TreeOf(files), {"mlp"})),
              ElementsAre("1: cuda/mlp.cu exists: remove its line"));
  EXPECT_THAT(Texts(CheckTwins(TreeOf({{"kernels/coverage.txt", "cuda/old.cu\n"}}), {})),
              ElementsAre("1: cuda/old.cu: give a reason",
                          "1: cuda/old.cu is no op of kernels/kernel_table.h"));
}

TEST(TidyWordsTest, WordsInCodeOfTheirFolders) {
  const auto words = ParseWords(
      "rand( | an engine | *\npage | block | kernels\nthrow | absl::Status | *\n"
      "allow | throw | base/json.cc | the thrower's one file\n");
  ASSERT_TRUE(words.ok());
  const auto find = [&words](const std::string& path, const std::string& text) {
    return Texts(CheckWords({path, text}, *words));
  };
  EXPECT_THAT(find("base/a.cc", "int x;\nint y = rand();\n"),
              ElementsAre("2: rand(: use an engine"));
  EXPECT_THAT(find("base/a.cc", "srand(1); // rand()\nf(\"rand()\");\n"), IsEmpty());
  EXPECT_THAT(find("kernels/a.h", "int page;\n"), ElementsAre("1: page: use block"));
  EXPECT_THAT(find("kernels/a.h", "int page_fault;\n"), IsEmpty());
  EXPECT_THAT(find("base/a.h", "int page;\n"), IsEmpty());
  EXPECT_THAT(find("base/log.cc", "throw 1;\n"), ElementsAre("1: throw: use absl::Status"));
  EXPECT_THAT(find("base/json.cc", "throw 1;\n"), IsEmpty());
}

TEST(TidyFormTest, SpacesTabsAndTheEnd) {
  const auto find = [](const std::string& path, const std::string& text) {
    return Texts(CheckForm({path, text}));
  };
  EXPECT_THAT(find("base/a.cc", "int x;\n"), IsEmpty());
  EXPECT_THAT(
      find("base/a.cc", "int x; \n\tint y;\r\n"),
      ElementsAre("1: space at the end of the line", "2: space at the end of the line", "2: tab"));
  EXPECT_THAT(find("docs/a.md", "x"), ElementsAre("1: the file must end with one line feed"));
  EXPECT_THAT(find("a.py", "x\n\n"), ElementsAre("2: the file must end with one line feed"));
  EXPECT_THAT(find("tests/golden/model.safetensors", "\t \n\n"), IsEmpty());
}

TEST(TidyFormTest, ColumnsAreCharacters) {
  std::string line = "// ";
  for (int i = 0; i < 97; ++i) {
    line += "é";
  }
  EXPECT_THAT(CheckForm({"base/a.cc", line + "\n"}), IsEmpty());
  for (const std::string path : {"base/a.cc", "cmake/a.cmake", "CMakeLists.txt", "tools/a.py"}) {
    EXPECT_THAT(Texts(CheckForm({path, line + "x\n"})),
                ElementsAre("1: 101 columns; the limit is 100"));
  }
  EXPECT_THAT(CheckForm({"docs/a.md", line + "x\n"}), IsEmpty());
}

TEST(TidyFormTest, HeadersBeginWithPragmaOnce) {
  EXPECT_THAT(CheckForm({"base/a.h", "#pragma once\n"}), IsEmpty());
  EXPECT_THAT(Texts(CheckForm({"base/a.h", "// x\n#pragma once\n"})),
              ElementsAre("1: #pragma once must be the first line"));
}

TEST(TidyFormTest, TodosNameAnIssue) {
  EXPECT_THAT(CheckForm({"base/a.cc", "// TODO(#12): x\n"}), IsEmpty());
  for (const std::string todo : {"TODO: x", "TODO(me): x", "TODO(#): x", "TODO(#12 x", "TODO"}) {
    EXPECT_THAT(Texts(CheckForm({"base/a.cc", "// " + todo + "\n"})),
                ElementsAre("1: TODO without an issue: write TODO(#123)"));
  }
}

TEST(TidyTypeNamesTest, OneDefinitionInANamespace) {
  const std::string in_hadal = "namespace hadal {\nstruct Answer {\n};\n}  // namespace hadal\n";
  const std::string declared = "namespace hadal {\nstruct Answer;\nclass Call final : Answer {\n";
  const std::string in_bench = "namespace hadal::bench {\nstruct Answer {\n};\n";
  EXPECT_THAT(
      CheckTypeNames(TreeOf({{"a/x.h", in_hadal}, {"b/y.h", declared}, {"c/z.h", in_bench}})),
      IsEmpty());
  EXPECT_THAT(Texts(CheckTypeNames(TreeOf({{"a/x.h", in_hadal}, {"b/y.h", in_hadal}}))),
              ElementsAre("2: hadal::Answer is also defined in a/x.h"));
}

TEST(TidyLinksTest, RelativeLinksExist) {
  const SourceTree tree = TreeOf({{"docs/a.md", ""}, {"docs/adr/1.md", ""}, {"README.md", ""}});
  const auto find = [&tree](const std::string& text) {
    return Texts(CheckLinks({"docs/a.md", text}, tree));
  };
  EXPECT_THAT(find("[x](adr/1.md#part) [y](../README.md) [z](adr/) [r](..)\n"), IsEmpty());
  EXPECT_THAT(find("[x](https://example.org/x) [y](#here) [z](mailto:a@b.c)\n"), IsEmpty());
  EXPECT_THAT(find("```\n[x](lost.md)\n```\n"), IsEmpty());
  EXPECT_THAT(find("\n[x](lost.md)\n"), ElementsAre("2: no such file: lost.md"));
  EXPECT_THAT(find("[x](../adr/1.md)\n"), ElementsAre("1: no such file: ../adr/1.md"));
}

TEST(TidyTreeTest, TheTreeIsTidy) {
  const auto tree = ReadSourceTree(HADAL_SOURCE_DIR);
  ASSERT_TRUE(tree.ok()) << MessageOf(tree.status());
  EXPECT_GT(tree->size(), 100U);
  const auto findings = CheckTree(*tree);
  ASSERT_TRUE(findings.ok()) << MessageOf(findings.status());
  for (const Finding& finding : *findings) {
    ADD_FAILURE() << finding.path << ":" << finding.line << ": " << finding.text;
  }
}

TEST(TidyTreeTest, AMissingFolderIsAnError) {
  EXPECT_THAT(std::string(MessageOf(ReadSourceTree("/nowhere").status())), HasSubstr("/nowhere"));
}

}  // namespace
}  // namespace hadal::tidy
