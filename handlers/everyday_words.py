"""Everyday English words: what a question is made of, and so no slip of the hand, in whatever case."""

from __future__ import annotations

_WORDS = """
able accept account accused act action add address admit afternoon age agree alive allow almost alone along
already although always amount angry anybody anyone appear apply argue arrange arrest arrive article aside
asked asleep attack attend author aware away baby bank bath beat become bed began begin behind believe belong
bench benefit beside best better big bill birth bit black blame blood blue board boat body book boss both
bought box boy break bring broke brother brought brown build built burn business busy buy calm came camera
car card care carry case cash cause change charge cheap check child children choose city claim clean clear
clerk clever close cloth coat cold colour come common company complain copy corner correct cost count country
couple course cover crime cross cry cut damage dance danger dark date daughter day dead deal dear death debt
decide deep demand deny depart depend describe desk detail did die differ dinner direct dirty discuss doctor
document dog door doubt draw dream dress drink drive drop drove dry due during duty each early earn east easy
eat eight either email employ empty end enemy enjoy enough enter escape evening event ever every evidence
exact exist expect explain eye face fact fail fair fall false family far farm fast father favour fear feel
fell felt few field fight file fill final find fine finger finish fire first fit five fix floor flat fly
follow food foot force forget forgot form forward found four free fresh friend front full funny gave gift
girl give glad glass go gold gone good got grand great green ground group grow guard guess gun guy hair half
hall hand hang happen happy hard hat hate head hear heard heart heat heavy held help hide high hire hit hold
hole home honest hope horse hospital hot hotel hour house huge hurt husband idea ill inside instead invite
issue item job join judge jump just keen keep kept key kill kind king kiss kitchen knew knife knock know lack
lady land large last late laugh law lawyer lay lead learn leave led left leg lend lent less let letter level
liar lie life lift light like limit line link list little live loan local lock long look lose loss lost lot
loud love low luck lunch made mail main make man many mark market married marry match matter mean meant meet
meeting member mention mere message met middle might mind mine minute miss mix moment money month moon more
morning most mother motive move much murder name narrow near nearly need never new news next nice night nine
nobody noise none noon north note nothing notice number obey object occur offer office often old once one
only open opinion order other ought owe owed own owner page paid pain paint paper parent park part party pass
past path pay payment peace pen people perhaps period permit person phone photo pick picture piece place plan
plane play please point police poor post pound power present press pretty price prison private prize problem
promise proof proper prove public pull purpose push put quarrel question quick quiet quite raise ran rather
reach read ready real really reason receive recent record red refer refuse regard relate remain remember
remove rent repair repeat reply report request rest result return rich ride right ring river road rob room
round rule run rush sad safe said sail sale same sand sat save saw say scare school sea search seat second
secret see seem seen sell send sense sent serve set settle seven several shake share sharp ship shirt shock
shoe shoot shop shore short shot should shout show shut sick side sight sign silent silver simple since sing
sister sit site six size skill sleep slow small smart smell smile smoke snow sober soft sold some son song
soon sorry sort sound south space speak special speed spend spent spoke spot spring staff stage stand star
start state station stay steal step stick still stole stolen stone stood stop store storm story straight
strange street strong study stuff such sudden suggest suit sum summer sun supply suppose sure suspect swear
sweet swim table take taken talk tall taste tax teach team tear tell ten term test text thank theft then
there thick thief thin thing think third thought threat three threw throw ticket tie till time tired title
today together told tomorrow tone took top total touch toward town trade traffic train travel treat tree
trial trick trip trouble truck true trust truth try turn twelve twenty twice two type uncle under unless
until upon urge use used usual value van very victim view village visit voice vote wait wake walk wall want
war warm warn wash waste watch water way weak wear weather week weight well went west wet whether white whole
whose why wide wife wild will win wind window wine wish with witness woman women wonder wood word work world
worry worse worth wound write written wrong wrote yard year yellow yes yesterday yet young
"""

EVERYDAY = frozenset(_WORDS.split())
