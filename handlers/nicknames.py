"""Given names and the short forms by which people are called instead."""

from __future__ import annotations

from handlers.found import level

_GROUPS = """
abigail abby gail
abraham abe bram
albert al bert bertie
alexander alex alec sandy sasha xander
alexandra alex sandra sandy sasha lexi
alfred al alf fred freddie
andrew andy drew
andrea andie
angela angie
ann anne anna annie nancy
anthony tony
antonio tony
archibald archie
arthur art artie
barbara barb barbie babs
benjamin ben benny benji
bernard bernie
beverly bev
bradley brad
calvin cal
cameron cam
catherine katherine kathryn catharine kate katie kathy cathy kat kitty kay
charles charlie chuck chas chip
christina christine kristin kristen chris tina chrissy
christopher chris kit topher
clifford cliff
clinton clint
constance connie
cynthia cindy
daniel dan danny
danielle dani
david dave davey
deborah debra deb debbie
dennis denny
dominic dom nick
donald don donny
dorothy dot dottie dolly
douglas doug
edgar ed eddie
edmund ed eddie ned
edward ed eddie ted teddy ned
edwin ed eddie win
eleanor ellie nell nora
elizabeth elisabeth liz lizzie beth betsy betty eliza libby bess lisa
emily em emmy
eugene gene
evelyn eve evie
florence flo
frances fran francie
francis frank fran
franklin frank
frederick fred freddie rick
gabriel gabe
gabriela gabrielle gabby
gerald gerry jerry
gerard gerry
geoffrey jeffrey jeffery geoff jeff
george georgie
gilbert gil
gregory greg
gwendolyn gwen
harold harry hal
harriet hattie
helen nell nellie
henry hank harry hal
herbert herb bert
howard howie
hubert hugh bert
isaac ike
isabel isabella bella izzy
jacob jake
jacqueline jackie
james jim jimmy jamie
janet jan
jennifer jen jenny
jeremy jeremiah jerry
jerome jerry
jessica jess jessie
joan joanie
joanna joanne jo
joel joey
john jack johnny jon
jonathan jon jonny john
joseph joe joey
josephine jo josie
joshua josh
judith judy
julia julie jules
kenneth ken kenny
kevin kev
kimberly kim
laura laurie
lawrence laurence larry
leonard leo len lenny
leroy lee roy
leslie les
lewis louis lou
lillian lil lily
linda lindy lyn
louise lou
lucille lucy
margaret maggie meg peg peggy marge margie greta rita
marjorie marge margie
martha marty patty
martin marty
marvin marv
mary molly polly mae
matthew matt matty
maurice morris moe
maxwell maximilian max
melissa mel missy lissa
michael mike mick mickey mitch
michelle shelly
miriam mimi
mitchell mitch
mohammed mohamed muhammad mo
nathan nathaniel nate nat
nicholas nick nicky nico
nicole nikki nicky
norman norm
oliver ollie
pamela pam
patricia pat patty tricia trish
patrick pat paddy rick
penelope penny
peter pete
philip phillip phil
phyllis phyl
rachel rach
randall randolph randy
raymond ray
rebecca becky becca
reginald reg reggie
richard rick ricky rich dick richie
robert bob bobby rob robby bert
roberta bobbie
roderick rod rick
rodney rod
roger rog
ronald ron ronnie
rosemary rose rosie
roxanne roxy
russell russ rusty
samantha sam
samuel sam sammy
sandra sandy
sarah sara sally
sebastian seb bastian
sharon shari
sidney sid
solomon sol
stanley stan
stephanie steph
stephen steven steve stevie
stewart stuart stu
susan susanna suzanne sue susie
sylvia syl
terence terrence terry
theodore ted teddy theo
theresa teresa terry tess
thomas tom tommy
timothy tim timmy
tobias toby
valerie val
veronica ronnie vera
victor vic
victoria vicky tori
vincent vince vinny
virginia ginny ginger
walter walt wally
wesley wes
wilbur will
wilfred will fred
william bill billy will willie liam
zachary zach zack
"""

_BY_NAME: dict[str, set[int]] = {}
for _number, _line in enumerate(_GROUPS.split("\n")):
    for _name in _line.split():
        _BY_NAME.setdefault(_name, set()).add(_number)


def one_person(given: str, other: str) -> bool:
    """Whether two given names may be one person's: a name and its short form, or two short forms of it.

    >>> one_person("Bob", "Robert"), one_person("Rob", "Bobby"), one_person("Bob", "Bill")
    (True, True, False)
    """
    a, b = level(given), level(other)
    return a != b and bool(_BY_NAME.get(a, set()) & _BY_NAME.get(b, set()))
